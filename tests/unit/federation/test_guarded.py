"""A guarded process ends with the one that started it, however that one ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medfed.federation.guarded import Guarded

SLEEPER = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]


def number_in(log: Path) -> int:
    end = time.monotonic() + 30
    while not (log.exists() and log.read_text().endswith("\n")):
        assert time.monotonic() < end
        time.sleep(0.02)
    return int(log.read_text())


def ended(pid: int) -> None:
    end = time.monotonic() + 30
    while alive(pid):
        assert time.monotonic() < end, "it still runs"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_it_ends_when_it_is_not_wanted_any_more(tmp_path, end):
    guarded = Guarded(SLEEPER, tmp_path / "log")
    pid = number_in(tmp_path / "log")
    assert guarded.alive
    getattr(guarded, end)()
    assert not guarded.alive
    ended(pid)
    guarded.stop()  # once more does no harm


def test_it_ends_with_a_parent_that_is_killed(tmp_path):
    parent = (
        "import sys, time; from pathlib import Path\n"
        "from medfed.federation.guarded import Guarded\n"
        f"kept = Guarded({SLEEPER!r}, Path({str(tmp_path / 'log')!r})); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        pid = number_in(tmp_path / "log")
        process.send_signal(signal.SIGKILL)
    ended(pid)


def test_it_is_seen_that_a_command_ended_by_itself(tmp_path):
    guarded = Guarded([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log")
    assert guarded._process.wait(30) == 3
    assert not guarded.alive
    guarded.stop()


def test_what_it_started_ends_too(tmp_path):
    shell = ["/bin/sh", "-c", f"{sys.executable} -c 'import time; time.sleep(600)' & echo $!; wait"]
    guarded = Guarded(shell, tmp_path / "log")
    pid = number_in(tmp_path / "log")
    guarded.kill()
    ended(pid)
    assert os.getpid() != pid
