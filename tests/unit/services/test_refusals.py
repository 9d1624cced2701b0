"""What is refused is in the record, and no flood of it is a flood of rows."""

from __future__ import annotations

import pytest
from accounting import PASSWORD, accounts_of, identity
from sqlalchemy import event

from medfed.core.errors import AccessError
from medfed.services import audit, refusals
from medfed.services.accounts import Identity, Subject, asked, lockout, tokens
from medfed.services.preferences import DEFAULT
from medfed.services.refusals import APART, REST, refuse
from medfed.storage.database.types import now

VIEWER = Identity(id=7, name="viewer", address="192.0.2.1")


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch) -> None:
    """However slow the test is, it is one minute."""
    moment = now()
    monkeypatch.setattr(refusals, "now", lambda: moment)


def refused(database, action: str = "") -> list:
    rows = audit.entries(database, words=action, limit=500)
    return [row for row in reversed(rows) if not row.allowed]


def test_the_same_again_is_one_row_that_counts_at_least(database):
    for _ in range(100):
        refuse(database, VIEWER, "run.start", "run 1", reason="no")
    (row,) = refused(database)
    assert (row.actor, row.subject, row.reason, row.times) == ("viewer", "run 1", "no", 64)


def test_another_process_counts_in_the_same_row(database):
    for _ in range(3):
        refusals._tallies.clear()  # what the other process does not know
        refuse(database, VIEWER, "run.start", "run 1", reason="no")
    (row,) = refused(database)
    assert row.times == 3


def test_a_flood_of_requests_is_no_flood_of_writes(sqlite):
    begun: list[object] = []
    event.listen(sqlite.engine, "commit", begun.append)
    for _ in range(1000):
        refuse(sqlite, VIEWER, "run.start", "run 1", reason="no")
    assert len(begun) == 10


def test_the_next_minute_has_a_row_of_its_own(sqlite, monkeypatch):
    refuse(sqlite, VIEWER, "run.start", reason="no")
    later = now().replace(year=2099)
    monkeypatch.setattr(refusals, "now", lambda: later)
    refuse(sqlite, VIEWER, "run.start", reason="no")
    assert [row.times for row in refused(sqlite)] == [1, 1]


def test_somebody_who_tries_everything_fills_no_table(database):
    for number in range(3 * APART):
        refuse(database, VIEWER, "run.start", f"run {number}", reason="no")
    other = Identity(id=8, name="auditor")
    refuse(database, other, "run.start", "run 5", reason="no")
    *first, rest, last = refused(database)
    assert [row.subject for row in first] == [f"run {number}" for number in range(APART)]
    assert (rest.actor, rest.subject, rest.times) == ("viewer", REST, 2 * APART)
    assert (last.actor, last.subject) == ("auditor", "run 5"), "nobody hides behind another's noise"


def test_strangers_are_told_apart_by_their_network_and_only_so_many(database):
    for number in range(2 * APART):
        where = Identity(address=f"192.0.{number}.1")
        for path in ("/a", "/b"):  # chosen by them: it makes no further row
            refuse(database, where, "request.send", path, reason="no", network=where.address)
    *first, rest = refused(database)
    assert len(first) == APART
    assert {(row.actor, row.subject, row.times) for row in first} == {("nobody", "/a", 2)}
    assert (rest.actor, rest.address, rest.subject) == ("nobody", "", REST)
    assert rest.times == 2 * APART


def test_nobody_writes_lines_of_the_record(sqlite):
    evil = "run 1\n2026-01-01 admin user.manage\x1b[2J\u202e"
    refuse(sqlite, Identity(id=1, name="a\nb"), "run.start", evil, reason=evil)
    (row,) = refused(sqlite)
    assert row.actor == "a b"
    for text in (row.subject, row.reason):
        assert text.isprintable()


def test_a_log_in_refused_by_a_lock_is_recorded(database):
    accounts = accounts_of(database)
    for _ in range(DEFAULT.free_failures + 3):
        with pytest.raises(AccessError):
            accounts.log_in("viewer", "wrong", address="192.0.2.7")
    wrong, locked = refused(database, "session.begin")
    assert (wrong.actor, wrong.reason, wrong.times) == ("viewer", "wrong name or password", 4)
    assert (locked.actor, locked.reason) == ("viewer", "too many wrong passwords for this name")
    assert (locked.times, locked.address) == (2, "192.0.2.7")


def test_a_password_typed_as_a_name_is_not_kept(sqlite):
    accounts = accounts_of(sqlite)
    with pytest.raises(AccessError):
        accounts.log_in(PASSWORD, "", address="192.0.2.7")
    (row,) = refused(sqlite, "session.begin")
    assert row.actor == "nobody"


def test_denials_of_the_known_are_recorded_and_strangers_only_come_to_the_door(sqlite):
    assert not asked(sqlite, VIEWER, "run.start", Subject("run 1"))
    assert not asked(sqlite, Identity(), "run.start", Subject("run 1"))
    (row,) = refused(sqlite)
    assert (row.actor, row.reason) == ("viewer", "none of your roles lets you start runs")


def test_an_act_without_the_password_given_lately_is_recorded(sqlite, monkeypatch):
    who = identity(accounts_of(sqlite), "viewer")
    monkeypatch.setattr("medfed.services.accounts.login.RECENTLY", -lockout.FORGOTTEN)
    with pytest.raises(AccessError):
        tokens.make_token(sqlite, who, "nightly", ["read"], 1)
    (row,) = refused(sqlite)
    assert (row.action, row.subject) == ("token.manage", "token nightly")
    assert row.reason == "the password was not given lately"
