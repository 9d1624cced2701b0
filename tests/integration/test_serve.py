"""`medfed serve` as a person starts and ends it."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request

import pytest

LOG_IN = re.compile(r"Log in as admin .*: [a-z2-9]{4}(-[a-z2-9]{4}){3}$")
MEDFED = [sys.executable, "-m", "medfed", "serve"]


@pytest.mark.slow
def test_a_console_starts_answers_and_ends(tmp_path):
    folder = tmp_path / "console"
    command = [*MEDFED, "--data", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().rsplit(maxsplit=1)[-1]
        said = process.stdout.readline()
        with urllib.request.urlopen(f"{url}/healthz") as answer:
            assert answer.status == 200
        port = url.rpartition(":")[2]
        taken = [*MEDFED, "--data", str(tmp_path / "other"), "--port", port]
        second = subprocess.run(taken, capture_output=True, text=True, check=False)
        process.terminate()
        assert process.wait() == 143
    assert LOG_IN.search(said.strip())
    assert second.returncode == 5
    assert second.stderr.startswith(f"Error: 127.0.0.1:{port} cannot be listened on: Address")
    again = [*MEDFED, "--data", str(tmp_path / "other"), "--port", "0"]
    with subprocess.Popen(again, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        assert LOG_IN.search(process.stdout.readline().strip())  # it was not lost
        process.terminate()
    assert (folder.stat().st_mode & 0o777, (folder / "secrets.json").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )
    reset = [*MEDFED, "--data", str(folder), "--reset-password", "admin"]
    answer = subprocess.run(reset, capture_output=True, text=True, check=True)
    assert "New password of admin" in answer.stdout
