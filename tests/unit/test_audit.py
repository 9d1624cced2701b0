"""`make audit`: the real pip-audit asks an advisory service of ours."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ADVISORY = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "aliases": ["CVE-2026-0001"],
    "summary": "It forgets to look.",
    "affected": [
        {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2.4"}]}],
        }
    ],
}


class Osv(BaseHTTPRequestHandler):
    """Knows one advisory."""

    def do_POST(self) -> None:  # the library's own name
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = [ADVISORY] if asked["package"]["name"] == "leaky" else []
        body = json.dumps({"vulns": known} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def osv() -> Iterator[str]:
    """Where it answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Osv)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()
    thread.join()


def audit(tmp_path: Path, lines: str, *options: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "some.lock").write_text(lines)
    command = [sys.executable, ROOT / "scripts/audit.py", "--lock", tmp_path / "some.lock"]
    words = [str(word) for word in (*command, "--cache-dir", tmp_path / "cache", *options)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_what_is_known_is_named_with_the_version_that_mends_it(osv, tmp_path):
    done = audit(tmp_path, "# a lock\nleaky==1.2.3\nsound==2.0\n", "--osv-url", osv)
    assert done.returncode == 1, done.stderr
    assert "leaky 1.2.3: CVE-2026-0001, GHSA-aaaa-bbbb-cccc; mended in 1.2.4" in done.stdout
    assert "2 packages; known vulnerabilities: 1" in done.stdout


def test_where_nothing_is_known_the_status_is_0(osv, tmp_path):
    done = audit(tmp_path, "sound==2.0\nelsewhere==1.0 ; python_version < '3'\n", "--osv-url", osv)
    assert (done.returncode, done.stderr) == (0, "")
    assert "known vulnerabilities: 0" in done.stdout


def test_a_service_that_cannot_be_asked_is_no_clean_bill(tmp_path):
    done = audit(tmp_path, "sound==2.0\n", "--osv-url", "http://127.0.0.1:9/v1/query")
    assert done.returncode == 2
    assert "could not be asked, so nothing is known" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_lock_without_packages_is_no_clean_bill(osv, tmp_path):
    done = audit(tmp_path, "# nothing\n", "--osv-url", osv)
    assert done.returncode == 2
    assert "nothing is known" in done.stdout
    assert "answered about no package of some.lock" in done.stdout


def test_a_missing_pip_audit_is_not_told_as_a_silent_service(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("nobody can be asked"))
    monkeypatch.setattr("sys.argv", ["audit.py"])
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    assert importlib.import_module("audit").main() == 2
    said = capsys.readouterr().out
    assert "pip-audit is not installed" in said
    assert "service could not" not in said


@pytest.mark.parametrize("left_out", [1, 2])
def test_what_could_not_be_looked_up_is_no_clean_bill_either(monkeypatch, capsys, left_out):
    rows = [{"name": name, "version": "1", "vulns": []} for name in ("one", "two")]
    skipped = [{"name": name, "skip_reason": "not in the index"} for name in ("one", "two")]
    answer = json.dumps({"dependencies": [*skipped[:left_out], *rows[left_out:]]})
    done = subprocess.CompletedProcess([], 0, answer, "")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: done)
    monkeypatch.setattr("sys.argv", ["audit.py"])
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    assert importlib.import_module("audit").main() == 2
    said = capsys.readouterr().out
    assert ("nothing is known" in said, "asked about one" in said) == (left_out == 2, left_out == 1)
