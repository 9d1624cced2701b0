"""A hospital's console as a process: killed while files are sent, killed while it imports."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from accounting import PASSWORD
from hospitals import BYTES, series_zip
from integration.enrolling import free_port

from medfed.core.errors import SiteError
from medfed.federation.settings.site import read_site
from medfed.federation.site_folder import SiteFolder
from medfed.services.accounts import Identity, tokens
from medfed.services.console import Console, Faces
from medfed.services.federation.site_process import console_beside
from medfed.services.hospital.parts import KEPT_EVERY, Pieces, names_in
from medfed.services.sites import create_site, site_vault

MEDFED = [sys.executable, "-m", "medfed", "site", "serve"]
STEWARD = Identity(id=1, name="admin", rights=frozenset({"user.manage"}))
WAIT_SECONDS = 120


@contextmanager
def served(site: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A console that listens, and its port."""
    command = [*MEDFED, str(site), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline()
            yield process, int(said.rsplit(":", 1)[-1])
        finally:
            process.kill()


class Caller:
    """Calls the API of a console with a token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.port = 0

    def __call__(self, method: str, path: str, body=None, **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)
        own = {"Authorization": f"Bearer {self.token}", "Tus-Resumable": "1.0.0", **headers}
        if isinstance(body, dict):
            body, own["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection.request(method, f"/api/v1/{path}", body, own)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def json(self, method: str, path: str, body=None):
        answer, content = self(method, path, body)
        assert answer.status < 300, content
        return json.loads(content)

    def announce(self, job: str, name: str, length: int) -> str:
        pairs = {"filename": name, "import": job}
        said = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in pairs.items())
        headers = {"Upload-Length": str(length), "Upload-Metadata": said}
        answer, content = self("POST", "uploads", None, **headers)
        assert answer.status == 201, content
        return answer.headers["Location"].removeprefix("/api/v1/")

    def offset(self, url: str) -> int:
        return int(self("HEAD", url)[0].headers["Upload-Offset"])

    def send(self, url: str, content: bytes, offset: int = 0) -> None:
        headers = {"Upload-Offset": str(offset), "Content-Type": BYTES}
        answer, said = self("PATCH", url, content[offset:], **headers)
        assert answer.status == 204, said


@pytest.fixture
def encrypted() -> bool:
    """Tests that are of both kinds of a site say otherwise."""
    return False


@pytest.fixture
def site(tmp_path, encrypted) -> Path:
    folder, key = tmp_path / "site", tmp_path / "site.key"
    key.write_bytes(bytes(range(32)))
    create_site(folder, "north", None, encrypt_with=str(key) if encrypted else None)
    return folder


@pytest.fixture
def call(site) -> Caller:
    """A data steward's program."""
    faces = Faces(site=site, coordinates=False)
    console = Console.open(site / "console", faces=faces, bcrypt_rounds=4)
    console.accounts.begin()
    user, _ = console.accounts.create(STEWARD, "steward", "", ["data-steward"])
    console.accounts._set_password(STEWARD, user, PASSWORD, must_change=False)
    who = console.accounts.identify(console.accounts.log_in("steward", PASSWORD))
    secret = tokens.make_token(console.database, who, "t", ["data"], 1)
    console.close()
    return Caller(secret)


def until(true: Callable[[], object]) -> None:
    """Wait for something."""
    end = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def kept(site: Path, job: str, name: str) -> bytes:
    """The bytes of a file that an import left, for another try."""
    folder, vault = site / "console" / "jobs" / job, site_vault(site)
    if not vault.sealed:
        return (folder / "files" / name).read_bytes()
    assert not (folder / "files").exists()
    ((part, (found, length)),) = names_in(folder, vault).items()
    assert found == name
    return Pieces(folder / "parts" / f"{part}.pieces", vault, length).read(0, length)


BOTH = pytest.mark.parametrize("encrypted", [False, True])


@pytest.mark.slow
@BOTH
def test_a_file_goes_on_where_it_was_when_the_server_was_killed(site, call):
    content = os.urandom(3 * KEPT_EVERY)
    with served(site) as (process, call.port):
        job = call.json("POST", "imports", {})["id"]
        url = call.announce(job, "scan.zip", len(content))
        connection = http.client.HTTPConnection("127.0.0.1", call.port, timeout=WAIT_SECONDS)
        connection.putrequest("PATCH", f"/api/v1/{url}")
        for name, value in {
            "Authorization": f"Bearer {call.token}",
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": "0",
            "Content-Type": BYTES,
            "Content-Length": str(len(content)),
        }.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(content[: 2 * KEPT_EVERY + 12_345])  # and never the rest
        until(lambda: call.offset(url) >= KEPT_EVERY)
        process.send_signal(signal.SIGKILL)
        process.wait()
        connection.close()
    with served(site) as (process, call.port):
        offset = call.offset(url)
        assert KEPT_EVERY <= offset < len(content)
        call.send(url, content, offset)
        assert call.offset(url) == len(content)
        call.json("POST", f"imports/{job}/start")
        until(lambda: call.json("GET", f"imports/{job}")["state"] == "finished")
        assert kept(site, job, "scan.zip") == content
        process.terminate()
        process.wait()
    assert process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)


@pytest.mark.slow
@BOTH
def test_an_import_is_begun_again_when_its_console_was_killed(site, call, tmp_path, encrypted):
    content = series_zip(tmp_path / "ct", patient="MRN-4711")
    with served(site) as (process, call.port):
        job = call.json("POST", "imports", {})["id"]
        call.send(call.announce(job, "scan.zip", len(content)), content)
        call.json("POST", f"imports/{job}/start")
        until(lambda: call.json("GET", f"imports/{job}")["state"] != "queued")
        process.kill()
        process.wait()
    with served(site) as (_process, call.port):
        until(lambda: call.json("GET", f"imports/{job}")["state"] == "finished")
        result = call.json("GET", f"imports/{job}")["result"]
        assert len(result["imported"] + result["unchanged"]) == 1
        assert call.json("GET", "scans")["total"] == 1
        thumbnails = list((site / "console" / "thumbnails").glob("s-*.png"))
        assert len(thumbnails) == (0 if encrypted else 1), "in memory"


@pytest.mark.slow
def test_a_worker_keeps_the_console_that_its_file_asks_for(site):
    port = free_port()
    file = site / "site.toml"
    file.write_text(f"console = {port}\n" + file.read_text())
    settings = read_site(file)

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
                return answer.status == 200
        except OSError:
            return False

    assert SiteFolder(site).settings().name == "north"  # the site's own rules are read as before
    with console_beside(settings):
        until(answers)
    assert not answers()
    assert (site / "console" / "console.sqlite").exists()


def test_what_no_console_can_be_made_of(tmp_path):
    done = subprocess.run(
        [*MEDFED, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == SiteError.exit_code
    assert "What to do" in done.stderr
    assert not (tmp_path / "console").exists()
