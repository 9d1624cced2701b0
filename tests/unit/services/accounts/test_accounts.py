"""Users, sessions, lockout and tokens."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from accounting import FAST, PASSWORD, accounts_of, identity
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from medfed.core.errors import AccessError
from medfed.services import audit
from medfed.services.accounts import Accounts, Identity, login, tokens
from medfed.services.accounts.passwords import Passwords, check_strength, common, generate
from medfed.services.preferences import DEFAULT
from medfed.storage.database.tables import (
    RoleRow,
    SessionRow,
    TokenRow,
    UserRow,
)
from medfed.storage.database.types import now

ROOT = Identity(id=99, name="root", rights=frozenset({"user.manage"}))


@pytest.fixture
def accounts(sqlite):
    return accounts_of(sqlite)


def acts(accounts, **filters) -> list[tuple[str, str, bool]]:
    return [(r.actor, r.action, r.allowed) for r in audit.entries(accounts.database, **filters)]


# --- the first start ------------------------------------------------------------------------------


def test_the_first_start_makes_one_administrator(database):
    accounts = Accounts(database, Passwords(b"x", rounds=FAST))
    password = accounts.begin()
    assert accounts.begin() is None
    (user,) = accounts.users()
    assert {role.name for role in user.roles} == {"administrator", "coordinator"}
    who = accounts.identify(accounts.log_in("admin", password))
    assert who.must_change


def test_changed_roles_survive_the_next_start(accounts):
    with accounts.database.write() as session:
        session.get_one(RoleRow, "viewer").rights = ["study.read"]
    accounts.begin()
    assert identity(accounts, "viewer").rights == {"study.read"}


def test_whoever_has_the_machine_gets_back_in(accounts):
    password = accounts.reset("admin")
    assert accounts.identify(accounts.log_in("admin", password)).must_change
    with pytest.raises(AccessError, match="no such user"):
        accounts.reset("nobody")


# --- passwords ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "at least 12"),
        ("x" * 201, "at most"),
        ("password12345", "tried first"),
        ("abababababab", "tried first"),
        ("administrator!", "tried first"),
        ("xx-li.wei-2026", "user name"),
    ],
)
def test_weak_passwords_are_refused_with_a_reason(password, words):
    with pytest.raises(AccessError, match=words):
        check_strength(password, "li.wei")


def test_the_list_of_common_passwords_is_whole():
    assert len(common()) > 19_000
    assert {"123456", "password", "administrator"} <= common()


def test_generated_passwords_are_good_enough_and_differ():
    many = {generate() for _ in range(100)}
    assert len(many) == 100
    for password in many:
        check_strength(password, "admin")


KEPT = Passwords(b"pepper", rounds=FAST)


@given(st.text(min_size=1, max_size=300), st.text(max_size=300))
def test_any_text_can_be_a_password_and_no_other_opens(password, other):
    hashed = KEPT.hash(password)
    assert KEPT.check(password, hashed)
    assert KEPT.check(other, hashed) == (other == password)
    assert not KEPT.check(password, None)
    assert not Passwords(b"another", rounds=FAST).check(password, hashed)


def test_changing_a_password_ends_the_other_sessions(accounts):
    secrets = [accounts.log_in("viewer", PASSWORD) for _ in range(2)]
    who = accounts.identify(secrets[0])
    with pytest.raises(login.WrongPassword):
        accounts.change_password(who, "not this one", "nine brown foxes run")
    with pytest.raises(AccessError, match="old one"):
        accounts.change_password(who, PASSWORD, PASSWORD)
    accounts.change_password(who, PASSWORD, "nine brown foxes run")
    assert accounts.identify(secrets[0]) is not None
    assert accounts.identify(secrets[1]) is None
    assert accounts.log_in("viewer", "nine brown foxes run")


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_counts_until_it_is_ended(accounts):
    secret = accounts.log_in("viewer", PASSWORD, address="10.0.0.1", agent="a browser")
    who = accounts.identify(secret)
    (row,) = accounts.sessions(who)
    assert (row.address, row.agent, row.digest == secret) == ("10.0.0.1", "a browser", False)
    accounts.end_session(who, row.id)
    assert accounts.identify(secret) is None
    assert accounts.identify("made up") is None


def test_an_open_page_keeps_no_session_alive(accounts):
    secret, then = accounts.log_in("viewer", PASSWORD), now() - timedelta(hours=1)
    with accounts.database.write() as session:
        session.execute(update(SessionRow).values(seen=then))
    assert login.identify_many(accounts.database, {secret, "another"}).keys() == {secret}
    assert accounts.sessions()[0].seen == then
    assert accounts.identify(secret)
    assert accounts.sessions()[0].seen > then


@pytest.mark.parametrize(
    ("column", "age"), [("seen", DEFAULT.unused), ("created", DEFAULT.longest)]
)
def test_an_old_session_is_over(accounts, column, age):
    secret = accounts.log_in("viewer", PASSWORD)
    then = now() - age - timedelta(seconds=1)
    with accounts.database.write() as session:
        session.execute(update(SessionRow).values({column: then}))
    assert accounts.identify(secret) is None
    assert not accounts.sessions()


def test_nobody_ends_the_session_of_another_but_an_administrator(accounts):
    victim = identity(accounts, "viewer")
    with pytest.raises(AccessError, match="only where they are yours"):
        accounts.end_session(identity(accounts, "clinician"), victim.session)
    assert acts(accounts)[0] == ("clinician", "session.revoke", False)
    accounts.end_session(identity(accounts, "administrator"), victim.session)
    assert victim.session not in {row.id for row in accounts.sessions()}


def test_sessions_that_are_over_are_dropped_at_the_next_log_in(accounts):
    accounts.log_in("viewer", PASSWORD)
    with accounts.database.write() as session:
        session.execute(update(SessionRow).values(seen=now() - DEFAULT.unused * 2))
    accounts.log_in("clinician", PASSWORD)
    with accounts.database.read() as session:
        assert [row.user.name for row in session.scalars(select(SessionRow))] == ["clinician"]


# --- users ----------------------------------------------------------------------------------------


def test_only_who_may_manages_users(accounts):
    with pytest.raises(AccessError, match="none of your roles"):
        accounts.create(identity(accounts, "coordinator"), "eve", "", ["administrator"])
    boss = identity(accounts, "administrator")
    user, password = accounts.create(boss, " Li.Wei ", "Li Wei", ["viewer"])
    assert user.name == "li.wei"
    assert accounts.identify(accounts.log_in("LI.WEI", password)).must_change
    for name, roles, words in [
        ("li.wei", [], "of this name"),
        ("<b>", [], "cannot be"),
        ("new", [], "cannot be"),
        ("li.na", ["emperor"], "no role"),
    ]:
        with pytest.raises(AccessError, match=words):
            accounts.create(boss, name, "", roles)


def test_a_barred_user_is_out_at_once(accounts):
    boss = identity(accounts, "administrator")
    secret = accounts.log_in("viewer", PASSWORD)
    accounts.change(boss, "viewer", full_name="", roles=["viewer"], active=False)
    assert accounts.identify(secret) is None
    with pytest.raises(login.WrongPassword):
        accounts.log_in("viewer", PASSWORD)


def test_the_last_administrator_stays(accounts):
    boss = identity(accounts, "administrator")
    accounts.change(boss, "admin", full_name="", roles=["viewer"], active=True)
    with pytest.raises(AccessError, match="nobody would be left"):
        accounts.change(boss, "administrator", full_name="", roles=[], active=True)
    with accounts.database.read() as session:
        user = session.scalar(select(UserRow).where(UserRow.name == "administrator"))
    assert [role.name for role in user.roles] == ["administrator"]


def test_a_new_password_from_an_administrator_must_be_changed(accounts):
    secret = accounts.log_in("viewer", PASSWORD)
    password = accounts.new_password(identity(accounts, "administrator"), "viewer")
    assert accounts.identify(secret) is None
    assert accounts.identify(accounts.log_in("viewer", password)).must_change


def test_a_browser_left_open_changes_no_users_and_makes_no_tokens(accounts):
    boss = identity(accounts, "administrator")
    with accounts.database.write() as session:
        session.execute(update(SessionRow).values(confirmed=now() - login.RECENTLY))
    for act in (
        lambda: accounts.create(boss, "eve", "", ["administrator"]),
        lambda: accounts.change(boss, "viewer", full_name="", roles=[], active=True),
        lambda: accounts.new_password(boss, "viewer"),
        lambda: tokens.make_token(accounts.database, boss, "t", ["read"], 1),
    ):
        with pytest.raises(login.Unconfirmed):
            act()
    accounts.confirm_password(boss, PASSWORD)
    assert accounts.create(boss, "eve", "", ["viewer"])


@pytest.mark.parametrize("act", ["reset", "change", "bar"])
def test_tokens_end_with_the_password_they_were_made_under(accounts, act):
    who = identity(accounts, "viewer")
    secret = tokens.make_token(accounts.database, who, "t", ["read"], 1)
    if act == "reset":
        accounts.reset("viewer")
    elif act == "change":
        accounts.change_password(who, PASSWORD, "nine brown foxes run")
    else:
        boss = identity(accounts, "administrator")
        accounts.change(boss, "viewer", full_name="", roles=[], active=False)
    assert not tokens.tokens_of(accounts.database, who)
    assert tokens.identify_token(accounts.database, secret, "") is None


def test_no_token_changes_users(accounts):
    boss = identity(accounts, "administrator")
    secret = tokens.make_token(accounts.database, boss, "t", list(tokens.SCOPES), 1)
    program = tokens.identify_token(accounts.database, secret, "")
    with pytest.raises(AccessError, match="token is not for"):
        accounts.create(program, "eve", "", ["administrator"])


def test_two_administrators_cannot_remove_each_other(database):
    accounts = accounts_of(database)
    accounts.change(ROOT, "admin", full_name="", roles=[], active=True)
    accounts.change(ROOT, "coordinator", full_name="", roles=["administrator"], active=True)
    at_once = threading.Barrier(2)

    def remove(name: str) -> str:
        at_once.wait()
        try:
            accounts.change(ROOT, name, full_name="", roles=[], active=True)
        except AccessError as error:
            return error.message
        return ""

    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            answers = set(pool.map(remove, ("administrator", "coordinator")))
            assert answers == {"", "nobody would be left who may create and change users"}
            for name in ("administrator", "coordinator"):
                accounts.change(ROOT, name, full_name="", roles=["administrator"], active=True)


# --- tokens ---------------------------------------------------------------------------------------


def test_a_token_does_what_its_scopes_and_its_owner_may(accounts):
    who = identity(accounts, "coordinator")
    secret = tokens.make_token(accounts.database, who, "nightly", ["read", "runs"], 30)
    program = tokens.identify_token(accounts.database, secret, "10.0.0.2")
    assert (program.name, program.scopes) == ("coordinator", {"*.read", "run.*"})
    (row,) = tokens.tokens_of(accounts.database, who)
    assert row.digest != secret
    with pytest.raises(AccessError, match="only where"):
        tokens.revoke_token(accounts.database, identity(accounts, "viewer"), row.id)
    tokens.revoke_token(accounts.database, who, row.id)
    assert tokens.identify_token(accounts.database, secret, "") is None


def test_a_token_expires_and_a_barred_owner_takes_it_along(accounts):
    who = identity(accounts, "viewer")
    secret = tokens.make_token(accounts.database, who, "t", ["read"], 1)
    boss = identity(accounts, "administrator")
    accounts.change(boss, "viewer", full_name="", roles=["viewer"], active=False)
    assert tokens.identify_token(accounts.database, secret, "") is None
    accounts.change(boss, "viewer", full_name="", roles=["viewer"], active=True)
    assert tokens.identify_token(accounts.database, secret, "") is None
    who = identity(accounts, "viewer")
    secret = tokens.make_token(accounts.database, who, "t", ["read"], 1)
    assert tokens.identify_token(accounts.database, secret, "")
    with accounts.database.write() as session:
        session.execute(update(TokenRow).values(expires=now()))
    assert tokens.identify_token(accounts.database, secret, "") is None


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [("t", [], 1), ("t", ["all"], 1), (" ", ["read"], 1), ("t", ["read"], 0)],
)
def test_tokens_that_cannot_be_are_refused(accounts, name, scopes, days):
    with pytest.raises(AccessError):
        tokens.make_token(accounts.database, identity(accounts, "viewer"), name, scopes, days)
