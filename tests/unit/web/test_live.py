"""Pages that follow a run over a WebSocket."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
from accounting import FAST, identity
from consoles import WANG, serving, stage_of
from simple_websocket import Client

from medfed.core.events import Notice, RunStarted, Scored
from medfed.services import audit
from medfed.services.accounts import Identity, tokens
from medfed.services.console.recording import Recorder
from medfed.web import WebOptions
from medfed.web.server import Server

WANG_BOSS = Identity(id=99, name="boss", rights=frozenset({"user.manage", "session.revoke"}))


def socket_of(stage, name: str = ""):
    client = stage.client(name)
    return stage.app.extensions["medfed-live"].test_client(stage.app, flask_test_client=client)


def news(socket, wanted, seconds: float = 20.0) -> list[dict]:
    """All news until some of it is wanted."""
    found: list[dict] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found += [each["args"][0] for each in socket.get_received() if each["name"] == "news"]
        if any(wanted(each) for each in found):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def texts(found: list[dict]) -> list[str]:
    return [event["text"] for each in found for event in each["events"]]


def test_strangers_and_those_without_the_right_are_not_connected(stage):
    assert not socket_of(stage).is_connected()
    accounts = stage.console.accounts
    accounts.change(WANG_BOSS, "viewer", full_name="", roles=[], active=True)
    assert not socket_of(stage, "viewer").is_connected()


def acts_of(stage) -> list[tuple[str, str, str]]:
    rows = audit.entries(stage.console.database)
    return [(row.actor, row.action, row.subject) for row in rows if not row.allowed]


def test_refused_connections_are_in_the_record(stage):
    assert not socket_of(stage).is_connected()
    stage.console.accounts.change(WANG_BOSS, "viewer", full_name="", roles=[], active=True)
    assert not socket_of(stage, "viewer").is_connected()
    expected = [("viewer", "live.connect", ""), ("nobody", "live.connect", "")]
    assert acts_of(stage) == expected


def test_another_sites_page_gets_no_connection_and_is_in_the_record(tmp_path, sqlite_url):
    server = Server(tmp_path / "console", sqlite_url, bcrypt_rounds=FAST)
    with serving(server) as url:
        path = "/socket.io/?EIO=4&transport=websocket"
        evil = urllib.request.Request(url + path, headers={"Origin": "https://evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(evil)
        socket = Client(url.replace("http", "ws", 1) + path)  # a stranger's, by a real socket
        assert socket.receive().startswith("0")
        socket.send("40")
        assert socket.receive().startswith("44"), "refused"
        rows = audit.entries(server.console.database, words="live.connect")
    assert {row.reason for row in rows} == {
        "it came from no page of this console",
        "there is nothing here that they may follow",
    }
    assert {(row.actor, row.address, row.allowed) for row in rows} == {
        ("nobody", "127.0.0.1", False)
    }


@pytest.mark.parametrize("leaves", [True, False])
def test_a_server_that_ends_leaves_no_thread_that_asks_its_database(tmp_path, sqlite_url, leaves):
    made = stage_of(tmp_path / "console", sqlite_url)
    server = Server(tmp_path / "console", sqlite_url, bcrypt_rounds=FAST)
    with serving(server):
        socket = socket_of(replace(made, console=server.console, app=server.app), "coordinator")
        assert socket.is_connected()
        teller = server.app.extensions["medfed-follower"]._thread
        assert teller.is_alive()
        if leaves:
            socket.disconnect()
    assert not teller.is_alive()
    made.console.close()


def test_behind_a_proxy_the_record_says_where_a_refused_connection_came_from(tmp_path, sqlite_url):
    made = stage_of(tmp_path / "console", sqlite_url, WebOptions(url="https://console.example"))
    where = {
        "Origin": "https://evil.example",
        "X-Forwarded-For": "203.0.113.5",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "console.example",
    }
    path = "/socket.io/?EIO=4&transport=websocket"
    assert made.app.test_client().get(path, headers=where).status_code == 400
    (act,) = audit.entries(made.console.database, words="live.connect")
    assert (act.actor, act.address) == ("nobody", "203.0.113.5")


def test_a_page_is_told_what_happens_from_where_it_was(stage):
    run = stage.console.runs.start(WANG, stage.study)
    socket = socket_of(stage, "viewer")
    assert socket.is_connected()
    answer = socket.emit("follow", {"run": run.id, "after": 0}, callback=True)
    assert answer == {"following": run.id}
    recorder = Recorder(stage.console.database, run.id, 0)
    recorder(RunStarted(run.id, "d", "t", ("north",), 3))
    recorder(Scored(0, {"auc": float("nan")}))
    found = news(socket, lambda each: each["events"])
    assert "Started: 1 hospitals, 3 rounds." in texts(found)
    # Away for a while, then back: what was missed comes, and nothing twice.
    socket.disconnect()
    recorder(Notice("said meanwhile"))
    time.sleep(0.3)
    again = socket_of(stage, "viewer")
    again.emit("follow", {"run": run.id, "after": 2})
    assert texts(news(again, lambda each: each["events"])) == ["said meanwhile"]
    recorder.end(lambda row: setattr(row, "state", "stopped"))
    found = news(again, lambda each: each["run"]["state"] == "stopped")
    assert found[-1]["run"]["id"] == run.id


def test_nonsense_does_no_harm(stage):
    socket = socket_of(stage, "viewer")
    for wish in (None, [], {"run": 3, "after": "x"}, {"run": "none", "after": 10**30}):
        answer = socket.emit("follow", wish, callback=True)
        assert answer == {"error": "there is no such run"}
    assert socket.is_connected()


def test_whoever_may_no_more_sees_no_more(stage, monkeypatch):
    socket = socket_of(stage, "viewer")
    stage.console.accounts.change(WANG_BOSS, "viewer", full_name="", roles=[], active=True)
    answer = socket.emit("follow", {"run": stage.run, "after": 0}, callback=True)
    assert answer == {"error": "none of your roles lets you see runs"}
    assert acts_of(stage) == [("viewer", "run.read", f"run {stage.run}")]
    monkeypatch.setattr("medfed.web.live.CHECK_SECONDS", 0.1)
    assert gone(socket)


def test_a_program_follows_until_its_token_is_revoked(stage, monkeypatch):
    monkeypatch.setattr("medfed.web.live.CHECK_SECONDS", 0.1)
    database, who = stage.console.database, identity(stage.console.accounts, "viewer")
    secret = tokens.make_token(database, who, "t", ["runs"], 1)
    socket = stage.app.extensions["medfed-live"].test_client(
        stage.app, headers={"Authorization": f"Bearer {secret}"}
    )
    socket.emit("follow", {"run": stage.run, "after": 0})
    assert news(socket, lambda each: each["events"])
    time.sleep(2.0)  # several looks
    assert socket.is_connected()
    (row,) = tokens.tokens_of(database, who)
    tokens.revoke_token(database, who, row.id)
    assert gone(socket)


def gone(socket, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while socket.is_connected() and time.monotonic() < until:
        time.sleep(0.05)
    return not socket.is_connected()


def test_whoever_is_logged_out_sees_no_more(stage, monkeypatch):
    monkeypatch.setattr("medfed.web.live.CHECK_SECONDS", 0.1)
    socket = socket_of(stage, "viewer")
    socket.emit("follow", {"run": stage.run, "after": 0})
    accounts = stage.console.accounts
    for row in accounts.sessions():
        accounts.end_session(WANG_BOSS, row.id)
    assert gone(socket)
