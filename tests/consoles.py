"""Consoles for tests of pages and the API: with people, a study, and a run that is finished."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from accounting import BREAST_CANCER, FAST, PASSWORD, accounts_of
from flask import Flask
from flask.testing import FlaskClient

from medfed.core.events import ReplyCounted, RoundFinished, RunFinished, RunStarted, Scored
from medfed.services.accounts import Identity
from medfed.services.accounts.roles import ROLES
from medfed.services.console import Console, Faces
from medfed.services.console.recording import Recorder, recorded
from medfed.services.sites import create_site
from medfed.storage.database.tables import RunRow
from medfed.web import WebOptions, create_app
from medfed.web.server import Server

SITE = "site"
TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
WANG = Identity(id=1, name="coordinator", rights=frozenset(ROLES["coordinator"]))
METRICS = {"auc": {"value": 0.91, "low": 0.85, "high": None}, "loss": {"value": 0.3}}


@dataclass
class Stage:
    """A console without a server, and what is in it."""

    console: Console
    app: Flask
    study: int
    run: str

    def client(self, name: str = "") -> FlaskClient:
        """A browser; somebody's, who has just logged in."""
        client = self.app.test_client()
        if name:
            answer = self.post(client, "/login", name=name, password=PASSWORD)
            assert answer.status_code == 302, answer.text
        return client

    def post(self, client: FlaskClient, path: str, page: str = "/login", **form):
        """Send a form as a browser does, with the token of a page."""
        return client.post(path, data={"csrf_token": csrf_of(client, page), **form})


def csrf_of(client: FlaskClient, page: str = "/login") -> str:
    """The token that the forms of this browser carry."""
    text = client.get(page, follow_redirects=True).text
    found = TOKEN.search(text)
    assert found, text
    return found[1]


def stage_of(folder, url: str, options: WebOptions | None = None, federation=None) -> Stage:
    """A console with a user for each role, a study, and a finished run of it."""
    console = peopled(_console(folder, url, federation))
    study = console.studies.create(WANG, BREAST_CANCER)
    console.studies.approve(WANG, study.id, study.digest)
    run = console.runs.start(WANG, study.id)
    finish(console, run)
    return Stage(console, create_app(console, options), study.id, run.id)


def hospital_of(
    folder, url: str = "", options: WebOptions | None = None, encrypt_with: str | None = None
) -> Stage:
    """A hospital's console with a user for each role, over the folder's site, else a new one."""
    if not (folder / SITE).is_dir():
        create_site(folder / SITE, "north", None, encrypt_with=encrypt_with)
    console = peopled(_console(folder, url))
    return Stage(console, create_app(console, options), 0, "")


def copy_of(made: Stage, folder, url: str = "", options: WebOptions | None = None) -> Stage:
    """The same in a folder to which that of `stage_of` or `hospital_of` was copied."""
    console = _console(folder, url)
    return Stage(console, create_app(console, options), made.study, made.run)


def _console(folder, url: str, federation=None) -> Console:
    """The console of the folder; a hospital's where a site is in it."""
    site = folder / SITE
    if not site.is_dir():
        return Console.open(folder, url, faces=Faces(federation=federation), bcrypt_rounds=FAST)
    faces = Faces(site=site, coordinates=False)
    return Console.open(site / "console", url, faces=faces, bcrypt_rounds=FAST)


def peopled(console: Console) -> Console:
    """The console with its people, under its own pepper."""
    accounts_of(console.database, console.accounts.passwords)
    return console


def finish(console: Console, run: RunRow) -> None:
    """Write down a short run as its process would."""
    sites = {"north": {"auc": 0.9}, "centre": {"auc": 0.8}, "south": {"auc": None}}
    recorder = Recorder(console.database, run.id, 0)
    with recorded(recorder) as tell_result:
        recorder(RunStarted(run.id, run.digest, run.title, tuple(run.sites), 2))
        for number in (1, 2):
            recorder(ReplyCounted(number, "north", 0.1, 10))
            recorder(Scored(number - 1, {"auc": 0.9}, sites, "test"))
            recorder(RoundFinished(number, ("north",), 0.5, 30, 40, 0.7, {"north": 0.7}))
        recorder(RunFinished(2, "done"))
        folder = console.place.run_folder(run.id)
        folder.mkdir()
        (folder / "model_card.md").write_text("# Card\n\n<script>alert(1)</script>\n")
        (folder / "report.html").write_text("<h1>Report</h1>")
        (folder / "model.safetensors").write_bytes(b"model")
        tell_result(
            {
                "bytes_up": 60, "bytes_down": 80, "rounds": 2, "kept_round": 2,
                "model_sha256": "ab" * 32, "patients": {"overall": 10, "north": 4},
                "metrics": {"overall": METRICS, "sites": {"north": METRICS}},
            }
        )  # fmt: skip


@contextmanager
def serving(server: Server) -> Iterator[str]:
    """A console in a thread; its address."""
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
        thread.join()
