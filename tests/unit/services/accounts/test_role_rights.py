"""What each role may is data, and is changed with sense."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError

import pytest
from accounting import PASSWORD, accounts_of, identity
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.errors import AccessError
from medfed.services import audit
from medfed.services.accounts import may, role_rights
from medfed.services.accounts.accounts import keep_an_administrator
from medfed.services.accounts.login import Unconfirmed
from medfed.services.accounts.rights import Denied
from medfed.services.accounts.role_rights import OWNED, change_role, check, reaches, rights_of
from medfed.services.accounts.roles import ACTIONS, ROLES
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database.tables import RoleRow

GENERAL = ("*.read", "study.*", "model.*", "*.nonsense", "nonsense.*")


@pytest.fixture
def accounts(sqlite):
    return accounts_of(sqlite)


def rights(accounts, name: str) -> list[str]:
    with accounts.database.read() as session:
        return session.get_one(RoleRow, name).rights


def reach_of(action: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["all", "own"] if action in OWNED else ["all"])


chosen = st.sets(st.sampled_from(sorted(ACTIONS))).flatmap(
    lambda names: st.fixed_dictionaries({name: reach_of(name) for name in names})
)


@given(chosen, st.lists(st.sampled_from(GENERAL)))
def test_rights_allow_just_what_was_chosen(wanted, general):
    assert reaches(rights_of(wanted, general)) == wanted


@pytest.mark.parametrize("role", ROLES)
def test_what_is_shipped_makes_sense_and_comes_back_as_it_was(role):
    held = role_rights.shipped(role)
    assert check(held) == held
    assert set(rights_of(held, ROLES[role])) == set(ROLES[role])


def test_a_change_counts_at_once_and_is_in_the_record(accounts):
    boss, secret = identity(accounts, "administrator"), accounts.log_in("viewer", PASSWORD)
    held = role_rights.shipped("viewer")
    change_role(accounts.database, boss, "viewer", {**held, "run.start": "all", "run.stop": "own"})
    assert may(accounts.identify(secret), "run.start")
    taken = {name: reach for name, reach in held.items() if name != "model.read"}
    change_role(accounts.database, boss, "viewer", taken)
    who = accounts.identify(secret)
    assert not may(who, "run.start")
    assert not may(who, "model.read")
    second, first = audit.entries(accounts.database, words="role viewer")
    assert first.reason == "allowed: run.start, run.stop:own; taken away: –"
    assert second.reason == "allowed: –; taken away: model.read, run.start, run.stop:own"
    change_role(accounts.database, boss, "viewer", role_rights.shipped("viewer"))
    assert set(rights(accounts, "viewer")) == set(ROLES["viewer"])
    change_role(accounts.database, boss, "viewer", role_rights.shipped("viewer"))
    assert len(audit.entries(accounts.database, words="role viewer")) == 3, "nothing was changed"


def test_no_right_goes_unsaid_behind_many_others(accounts):
    boss, everything = identity(accounts, "administrator"), dict.fromkeys(ACTIONS, "all")
    change_role(accounts.database, boss, "viewer", {})
    change_role(accounts.database, boss, "viewer", everything)
    change_role(accounts.database, boss, "viewer", {})
    taken, now_given, _ = audit.entries(accounts.database, words="role viewer")
    named = ", ".join(sorted(ACTIONS))
    assert now_given.reason == f"allowed: {named}; taken away: –"
    assert taken.reason == f"allowed: –; taken away: {named}"


def test_who_reads_everything_reads_what_a_later_program_has(accounts):
    boss = identity(accounts, "administrator")
    change_role(accounts.database, boss, "auditor", role_rights.shipped("auditor"))
    assert rights(accounts, "auditor") == ["*.read"]
    held = role_rights.shipped("auditor")
    change_role(accounts.database, boss, "auditor", {**held, "data.view": "all"})
    assert rights(accounts, "auditor") == ["*.read", "data.view"]


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"study.conquer": "all"}, "there is no right 'study.conquer'"),
        ({"*.read": "all"}, "there is no right"),
        ({"study.read": "all", "study.create": "own"}, "there is no right 'study.create:own'"),
        ({"study.edit": "some"}, "there is no right"),
        ({"run.start": "all"}, "who may start runs must also see runs"),
        ({"site.invite": "all"}, "who may invite hospitals must also see the overview"),
        (
            {"inference.read": "all", "inference.review": "all"},
            "who may review findings must also see what models found in patients",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(accounts, wanted, complaint):
    boss, before = identity(accounts, "administrator"), rights(accounts, "viewer")
    with pytest.raises(AccessError, match=complaint):
        change_role(accounts.database, boss, "viewer", wanted)
    assert rights(accounts, "viewer") == before


def test_somebody_who_manages_users_is_always_left(accounts):
    boss = identity(accounts, "administrator")
    reading = {n: r for n, r in role_rights.shipped("administrator").items() if "read" in n}
    with pytest.raises(AccessError, match="nobody would be left"):
        change_role(accounts.database, boss, "administrator", reading)
    assert may(identity(accounts, "administrator"), "user.manage")
    # With the right in another role that somebody has, it may go; then that one is the last.
    managing = {**reading, "user.manage": "all"}
    change_role(accounts.database, boss, "auditor", managing)
    change_role(accounts.database, boss, "administrator", reading)
    with pytest.raises(AccessError, match="nobody would be left"):
        accounts.change(
            identity(accounts, "auditor"), "auditor", full_name="", roles=["viewer"], active=True
        )


def test_two_at_once_do_not_take_the_right_from_everybody(database, monkeypatch):
    accounts, meeting = accounts_of(database), Barrier(2, timeout=1)
    boss, held = identity(accounts, "administrator"), role_rights.shipped("auditor")
    change_role(database, boss, "auditor", {**held, "user.manage": "all"})

    def keep(session):
        with suppress(BrokenBarrierError):  # who is alone there goes on
            meeting.wait()
        keep_an_administrator(session)

    monkeypatch.setattr(role_rights, "keep_an_administrator", keep)

    def take(name: str) -> bool:
        try:
            change_role(database, boss, name, held)
        except AccessError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(take, ("administrator", "auditor"))) == [False, True]


def test_it_takes_the_right_the_password_and_the_latest_page(accounts, monkeypatch):
    boss = identity(accounts, "administrator")
    with pytest.raises(Denied):
        change_role(accounts.database, identity(accounts, "auditor"), "auditor", {})
    with pytest.raises(Conflict, match="meanwhile"):
        change_role(accounts.database, boss, "viewer", {}, ["run.read"])
    with pytest.raises(Missing):
        change_role(accounts.database, boss, "emperor", {})
    monkeypatch.setattr("medfed.services.accounts.login.confirmed", lambda *_: False)
    with pytest.raises(Unconfirmed):
        change_role(accounts.database, boss, "viewer", {})
