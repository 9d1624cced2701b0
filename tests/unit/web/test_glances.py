"""Lists that are live: pages are told that something changed; whoever may not, is told nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from accounting import identity
from consoles import WANG, Stage
from unit.web.test_live import news, socket_of

from medfed.core.errors import SiteError
from medfed.storage.database.tables import SessionRow
from medfed.storage.database.types import now
from medfed.web.people import ONLINE, UNASKED


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("medfed.web.glances.PACE_SECONDS", 0.1)


def follow(stage: Stage, feed: str, name: str):
    socket = socket_of(stage, name)
    answer = socket.emit("follow", {feed: "all"}, callback=True)
    assert answer == {"following": "all"}
    return socket, next_mark(socket, feed, "")


def next_mark(socket, feed: str, known: str) -> str:
    found = news(socket, lambda each: each[feed]["mark"] != known)
    return str(found[-1][feed]["mark"])


def test_a_session_that_begins_goes_quiet_or_ends_is_told(stage):
    socket, mark = follow(stage, "people", "administrator")
    stage.client("clinician")
    mark = next_mark(socket, "people", mark)
    latest = max(stage.console.accounts.sessions(), key=lambda row: row.id)
    with stage.console.database.write() as session:
        session.get_one(SessionRow, latest.id).seen = now() - ONLINE - timedelta(seconds=1)
    mark = next_mark(socket, "people", mark)
    who = identity(stage.console.accounts, "administrator")
    stage.console.accounts.end_session(who, latest.id)
    next_mark(socket, "people", mark)


def test_a_run_that_is_begun_elsewhere_is_told(stage):
    socket, mark = follow(stage, "overview", "viewer")
    stage.console.runs.start(WANG, stage.study)
    mark = next_mark(socket, "overview", mark)
    boss = identity(stage.console.accounts, "coordinator")
    stage.console.releases.withdraw(boss, 1, "wrong")
    next_mark(socket, "overview", mark)


def test_a_hospitals_overview_is_followed_too(make_clinic):
    clinic = make_clinic()
    socket, mark = follow(clinic.stage, "overview", "data-steward")
    clinic.looked()  # so there is more to be reviewed
    next_mark(socket, "overview", mark)


def test_a_folder_that_is_not_in_order_keeps_no_page_from_its_news(stage, monkeypatch):
    def damaged():
        raise SiteError("the federation's folder is damaged")

    monkeypatch.setattr(stage.console.hospitals, "list", damaged)
    _, mark = follow(stage, "overview", "viewer")
    assert mark
    socket, known = follow(stage, "people", "administrator")
    stage.client("clinician")
    next_mark(socket, "people", known)


def test_whoever_may_not_see_users_is_told_why(stage):
    socket = socket_of(stage, "viewer")
    answer = socket.emit("follow", {"people": "all"}, callback=True)
    assert "users" in answer["error"]
    answer = socket.emit("follow", {"overview": "none"}, callback=True)
    assert answer == {"error": "there is no such list"}


def test_what_a_page_asks_by_itself_keeps_no_session_alive(stage):
    client = stage.client("administrator")
    long_ago = now() - timedelta(minutes=10)

    def seen():
        (row,) = stage.console.accounts.sessions()
        return row.seen

    with stage.console.database.write() as session:
        (row,) = stage.console.accounts.sessions()
        session.get_one(SessionRow, row.id).seen = long_ago
    page = client.get("/users/", headers={UNASKED: "1"})
    assert page.status_code == 200
    assert page.text.count('class="dot on"') == 0, "nobody did anything for long"
    assert seen() == long_ago
    client.get("/users/")
    assert seen() > long_ago
