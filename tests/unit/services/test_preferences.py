"""What administrators set while a console runs, and who obeys it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from accounting import PASSWORD, accounts_of, identity
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from medfed.core.errors import AccessError
from medfed.services import audit, preferences
from medfed.services.accounts import lockout, login
from medfed.services.accounts.rights import Denied
from medfed.services.preferences import DEFAULT, Preferences
from medfed.services.setting import set_preferences
from medfed.storage.database import Database
from medfed.storage.database.tables import SessionRow, SettingRow
from medfed.storage.database.types import now


@pytest.fixture
def accounts(sqlite):
    return accounts_of(sqlite)


def test_what_is_set_is_kept_recorded_and_read_by_other_processes(database):
    boss = identity(accounts_of(database), "administrator")
    given = {"notice": " Down  on\nFriday ", "runs_at_once": "3", "free_failures": "5"}
    wanted = set_preferences(database, boss, given)
    assert wanted == Preferences(notice="Down on Friday", runs_at_once=3)
    assert preferences.preferences(database) == wanted
    url = database.url.render_as_string(hide_password=False)
    other = Database(url)
    assert preferences.preferences(other) == wanted
    rows = audit.entries(database, words="settings.change")
    assert {(row.subject, row.reason) for row in rows} == {
        ("setting notice", "from – to Down on Friday"),
        ("setting runs_at_once", "from 2 to 3"),
    }
    set_preferences(database, boss, {"notice": ""})
    assert preferences.preferences(database).notice == ""
    assert preferences.preferences(other) == wanted, "for some seconds"
    preferences.forget(other)
    assert preferences.preferences(other).notice == ""
    other.close()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"runs_at_once": "0"}, "a whole number from 1 to 16"),
        ({"free_failures": "many"}, "a whole number from 3 to 10"),
        ({"session_unused_minutes": "\u0663\u0663"}, "a whole number from 5 to 480"),
        ({"session_longest_hours": "9" * 5000}, "a whole number from 1 to 24"),
        ({"free_failures": "00000551"}, "a whole number from 3 to 10"),
        ({"session_longest_hours": "0000059999999999"}, "a whole number from 1 to 24"),
        ({"session_unused_minutes": "480", "session_longest_hours": "7"}, "longer without use"),
        ({"language": "xx"}, "no such language"),
    ],
)
def test_what_is_not_possible_is_refused_and_nothing_is_set(accounts, given, complaint):
    with pytest.raises(AccessError, match=complaint):
        set_preferences(accounts.database, identity(accounts, "administrator"), given)
    assert preferences.preferences(accounts.database) == DEFAULT


@given(st.dictionaries(st.sampled_from(preferences.NAMES), st.text(max_size=400)))
def test_no_text_sets_something_that_cannot_be(given):
    from medfed.services.setting import _checked

    try:
        found = _checked(DEFAULT, given)
    except AccessError:
        return
    assert all(low <= getattr(found, n) <= high for n, (low, high) in preferences.BOUNDS.items())
    assert found.notice.isprintable()
    assert len(found.notice) <= preferences.LONGEST_NOTICE


def test_it_takes_the_right_and_the_password(accounts, monkeypatch):
    with pytest.raises(Denied):
        set_preferences(accounts.database, identity(accounts, "auditor"), {})
    monkeypatch.setattr(login, "confirmed", lambda *_: False)
    with pytest.raises(login.Unconfirmed):
        set_preferences(accounts.database, identity(accounts, "administrator"), {})


def test_rows_of_somebodys_own_hand_do_no_harm(sqlite):
    with sqlite.write() as session:
        for name, value in {
            "runs_at_once": 10**6, "free_failures": "5", "session_longest_hours": True,
            "notice": "x" * 1000, "language": "tlh", "of a later program": [1],
        }.items():  # fmt: skip
            session.add(SettingRow(name=name, value=value))
    assert preferences.preferences(sqlite) == DEFAULT


def test_sessions_end_as_it_is_set(accounts):
    secret, boss = accounts.log_in("viewer", PASSWORD), identity(accounts, "administrator")
    with accounts.database.write() as session:
        session.execute(update(SessionRow).values(seen=now() - timedelta(minutes=30)))
    assert accounts.identify(secret)
    with accounts.database.write() as session:
        session.execute(update(SessionRow).values(seen=now() - timedelta(minutes=30)))
    set_preferences(accounts.database, boss, {"session_unused_minutes": "20"})
    assert accounts.identify(secret) is None
    assert not accounts.sessions()


def test_names_are_locked_as_it_is_set(accounts):
    boss = identity(accounts, "administrator")
    set_preferences(accounts.database, boss, {"free_failures": "3"})
    for _ in range(3):
        with pytest.raises(login.WrongPassword):
            accounts.log_in("viewer", "wrong", address="192.0.2.7")
    with pytest.raises(lockout.Locked):
        accounts.log_in("viewer", PASSWORD, address="192.0.2.7")
