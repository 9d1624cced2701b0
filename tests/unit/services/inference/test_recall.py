"""Models that the coordinator withdrew: asked over HTTP, refused, remembered while it is away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from accounting import identity
from clinics import ANSWERS, Clinic
from consoles import Stage, serving, stage_of

from medfed.core.errors import AccessError, SiteError
from medfed.services.accounts import tokens
from medfed.services.audit import entries
from medfed.services.inference.coordinator_console import CoordinatorConsole, Unheard
from medfed.services.inference.recall import Recall
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database.tables import AdmittedRow, ModelRow
from medfed.storage.models import write_model
from medfed.web.server import Server

UNKNOWN = b'{"error": {"kind": "Missing"}}'
TOKEN = "medfed_token-of-the-tests"  # of the tests


class Answers(BaseHTTPRequestHandler):
    """A console that answers what it is told to."""

    status, body, seen = 200, b"{}", ()

    def do_GET(self) -> None:
        type(self).seen = (*self.seen, (self.path, self.headers["Authorization"]))
        self.send_response(self.status)
        if self.status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_args: object) -> None:
        """Keep silent."""


@pytest.fixture
def answers() -> Iterator[type[Answers]]:
    made = type("Made", (Answers,), {"seen": ()})
    server = HTTPServer(("127.0.0.1", 0), made)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def told(clinic: Clinic, answers):
    """A hospital that knows whom to ask."""
    tell(clinic, answers.url)
    return clinic


def tell(clinic: Clinic, url: str, token: str = TOKEN) -> None:
    site = clinic.desk.place.site
    (site / "coordinator.token").write_text(f"{token}\n")
    text = f'address = "{url}"\ntoken_file = "coordinator.token"\n'
    (site / "coordinator.toml").write_text(text)


def say(answers, clinic: Clinic, **more) -> None:
    answers.status = 200
    sha256 = clinic.desk.models.find(clinic.risk).sha256
    given = {"sha256": sha256, "withdrawn": None, "reason": "", "releases": [], **more}
    answers.body = json.dumps(given).encode()


def asked(clinic: Clinic) -> dict:
    clinic.desk.recall.ask(clinic.who("data-steward"), clinic.risk)
    return clinic.desk.models.find(clinic.risk).recall


def test_a_model_that_is_released_goes_on(told, answers):
    say(answers, told, releases=[{"site": "north"}, {"site": "south"}])
    found = asked(told)
    assert (found["state"], found["here"], found["trouble"]) == ("released", True, "")
    ((path, bearer),) = answers.seen
    assert path.endswith(told.desk.models.find(told.risk).sha256)
    assert bearer == f"Bearer {TOKEN}"
    assert told.desk.inferences.assess(told.who(), told.risk, ANSWERS).id


def test_a_withdrawn_model_is_refused_also_while_nobody_answers(told, answers):
    say(answers, told, withdrawn="2026-11-28T10:00:00+00:00", reason="wrong on small nodules")
    first = asked(told)
    assert (first["state"], first["since"][:10]) == ("withdrawn", "2026-11-28")
    answers.status = 500
    later = asked(told)
    assert later["asked"] == first["asked"]
    assert later["trouble"]
    with pytest.raises(Conflict, match="withdrew this model: wrong on small nodules"):
        told.desk.inferences.assess(told.who(), told.risk, ANSWERS)
    assert told.risk not in [row.id for row in told.desk.models.list(usable=True)]
    answers.status, answers.body = 404, UNKNOWN  # a console that forgot takes nothing back
    assert asked(told)["state"] == "withdrawn"
    say(answers, told)  # nor does one that says now that it never was
    found = asked(told)
    assert (found["state"], found["reason"]) == ("withdrawn", "wrong on small nodules")
    assert found["asked"] > later["asked"]
    rows = entries(told.stage.console.database, words="model.withdraw")
    assert [(row.actor, row.reason) for row in rows] == [
        ("system", "the coordinator withdrew it: wrong on small nodules")
    ]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"", "token"),
        (403, b"", "token"),
        (500, b"", "HTTP status 500"),
        (302, b"", "HTTP status 302"),
        (404, b"<html>", "HTTP status 404"),
        (404, b'{"error": {"kind": "NotFound"}}', "HTTP status 404"),
        (404, b"[]", "HTTP status 404"),
        (200, b"<html>", "cannot be reached"),
        (200, b"[" * 100_000, "cannot be reached"),
        (99999, b"", "cannot be reached"),
        (200, b"[]", "no coordinator"),
        (200, b'{"sha256": "another"}', "no coordinator"),
    ],
)
def test_an_answer_that_is_none_changes_nothing(told, answers, status, body, words):
    answers.status, answers.body = status, body
    found = asked(told)
    assert words in found["trouble"]
    assert "state" not in found
    assert told.desk.models.find(told.risk).usable


def test_a_model_that_nobody_knows_there_is_told_to_be_that(told, answers):
    answers.status, answers.body = 404, UNKNOWN
    assert asked(told)["state"] == "unknown"


def test_a_model_that_cannot_be_asked_about_keeps_no_other_from_it(told, answers, monkeypatch):
    say(answers, told)
    console, hear = told.desk.recall, told.desk.recall._hear

    def broken(number, sha256, ask):
        if number == told.nodules:
            raise RuntimeError("nobody foresaw this")
        hear(number, sha256, ask)

    monkeypatch.setattr(console, "_hear", broken)
    console.ask_all()
    assert told.desk.models.find(told.risk).recall["state"] == "released"


def test_no_proxy_is_told_the_token_of_this_machines_own_console(told, answers, monkeypatch):
    say(answers, told)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # nobody is there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert asked(told)["state"] == "released"


def test_a_token_that_is_taken_no_more_is_told_on_the_lists(told, answers):
    client = told.stage.client("data-steward")
    pages = ("/", "/released/")
    say(answers, told)
    asked(told)
    assert not any("could not be asked" in client.get(page).text for page in pages)
    answers.status = 401
    asked(told)
    for page in pages:
        text = client.get(page).text
        assert "could not be asked" in text
        assert "does not take this hospital" in text


def test_a_console_that_is_gone_is_no_answer(clinic):
    tell(clinic, "http://127.0.0.1:1")
    assert "cannot be reached" in asked(clinic)["trouble"]
    (clinic.desk.place.site / "coordinator.token").unlink()
    assert "token" in asked(clinic)["trouble"]


def test_all_approved_models_are_asked_about_by_themselves(told, answers):
    say(answers, told)
    told.desk.models.withdraw(told.who("data-steward"), told.nodules)
    told.desk.recall.ask_all()
    assert len(answers.seen) == 1
    assert told.desk.models.find(told.nodules).recall == {}


def test_without_an_address_nobody_is_asked(clinic):
    assert not clinic.desk.recall.configured()
    clinic.desk.recall.ask_all()
    with pytest.raises(Conflict, match="no address"):
        asked(clinic)
    with pytest.raises(AccessError):
        clinic.desk.recall.ask(clinic.who("clinician"), clinic.risk)


@pytest.mark.parametrize(
    "text",
    [
        "address = ",
        'address = "https://x.example"',
        'address = "http://x.example"\ntoken_file = "t"',
        'address = "ftp://x.example"\ntoken_file = "t"',
        'address = "https://"\ntoken_file = "t"',
        'address = "https://x.example:port"\ntoken_file = "t"',
        'address = "https://x.example:99999"\ntoken_file = "t"',
        'address = "https://me:secret@x.example"\ntoken_file = "t"',
        'address = "https://x.example?a"\ntoken_file = "t"',
        'address = "https://x.example"\ntoken_file = 3',
        'address = "https://x.example"\ntoken_file = "t"\nfolder = "x"',
    ],
)
def test_settings_that_make_no_sense_are_named(tmp_path, text):
    (tmp_path / "coordinator.toml").write_text(text)
    with pytest.raises(SiteError, match=r"coordinator\.toml"):
        CoordinatorConsole.read(tmp_path)


def test_certificates_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "t").write_text(TOKEN)
    text = 'address = "https://127.0.0.1:1"\ntoken_file = "t"\nca = "none.pem"'
    (tmp_path / "coordinator.toml").write_text(text)
    with pytest.raises(Unheard, match="certificates"):
        CoordinatorConsole.read(tmp_path).model("ab" * 32)


def test_one_console_with_both_faces_asks_itself(clinic: Clinic):
    row = clinic.desk.models.find(clinic.risk)
    model = ModelRow(sha256=row.sha256, withdrawn=row.approved, reason="no good", releases=[])
    known = {row.sha256: model}

    def by_digest(sha256: str) -> ModelRow:
        if sha256 not in known:
            raise Missing("there is no such model")
        return known[sha256]

    recall = Recall(clinic.stage.console.database, clinic.desk.place.site, by_digest)
    recall.ask_all()
    assert clinic.desk.models.find(clinic.risk).recalled
    assert clinic.desk.models.find(clinic.nodules).recall["state"] == "unknown"


@pytest.fixture
def coordinator(tmp_path, sqlite_url) -> Iterator[tuple[Stage, str, str]]:
    """A real coordinator's console that listens, and a token for its models."""
    stage = stage_of(tmp_path / "coordinator", sqlite_url)
    accounts = stage.console.accounts
    who = identity(accounts, "viewer")
    secret = tokens.make_token(accounts.database, who, "hospital", ["recall"], 1)
    server = Server(tmp_path / "coordinator", sqlite_url, bcrypt_rounds=4)
    with serving(server) as url:
        yield stage, url, secret


def test_a_real_coordinator_withdraws_and_the_hospital_hears_of_it(clinic, coordinator):
    stage, url, secret = coordinator
    tell(clinic, url, secret)
    sha256 = clinic.desk.models.find(clinic.risk).sha256
    with stage.console.database.write() as session:
        session.get_one(ModelRow, 1).sha256 = sha256
    who = identity(stage.console.accounts, "coordinator")
    stage.console.releases.approve(who, 1, "north")
    assert (asked(clinic)["state"], asked(clinic)["here"]) == ("released", True)
    stage.console.releases.withdraw(who, 1, "a mistake in the study")
    found = asked(clinic)
    assert (found["state"], found["reason"]) == ("withdrawn", "a mistake in the study")
    page = clinic.stage.client("clinician").get(f"/released/{clinic.risk}").text
    assert "a mistake in the study" in page
    assert "Ask this model" not in page


def judging(clinic: Clinic, folder) -> int:
    """A model that judges what the clinic's other one marks; its number."""
    below = clinic.desk.models.find(clinic.nodules).sha256
    task = {"name": "nodule-detection", "model": below}
    about = {"study": "ef" * 32, "title": "A judge", "task": task, "round": 1, "facts": {}}
    folder.mkdir()
    write_model(folder / "model.safetensors", {"w": np.zeros(1, np.float32)}, about)
    return clinic.desk.models.admit(clinic.who("data-steward"), folder).id


@pytest.mark.parametrize("by", ["the coordinator", "the hospital"])
def test_a_model_that_builds_on_a_withdrawn_one_is_refused_and_its_jobs_fail(clinic, tmp_path, by):
    desk, judge = clinic.desk, judging(clinic, tmp_path / "judge")
    assert judge in [row.id for row in desk.models.list(usable=True)]
    waiting = desk.inferences.look(clinic.who(), judge, clinic.scan)
    if by == "the hospital":
        desk.models.withdraw(clinic.who("data-steward"), clinic.nodules)
    else:
        with clinic.stage.console.database.write() as session:
            session.get_one(AdmittedRow, clinic.nodules).recall = {"state": "withdrawn"}
    with pytest.raises(Conflict, match="builds on another one"):
        desk.inferences.look(clinic.who(), judge, clinic.scan)
    assert judge not in [row.id for row in desk.models.list(usable=True)]
    assert clinic.do(waiting.id) == "failed"
    job = desk.inferences.job(waiting)
    assert "builds on another one" in job.message
