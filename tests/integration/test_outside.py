"""Logging in by an identity provider: a real one, over HTTP, with all that can go wrong."""

from __future__ import annotations

import re
import time
import tomllib
import urllib.parse
from collections.abc import Iterator

import pytest
import requests
import tomli_w
from accounting import PASSWORD, identity
from consoles import csrf_of, peopled, serving
from integration.enrolling import free_port
from oidc_provider import GROUPS, SECRET, identity_provider
from sqlalchemy import update

from medfed.core.errors import RunError
from medfed.services import audit
from medfed.services.accounts import Identity, own_roles
from medfed.services.accounts.accounts import managers
from medfed.services.accounts.login import confirmed
from medfed.services.accounts.outsiders import Provider, arrive
from medfed.services.accounts.roles import ROLES
from medfed.services.console import Console
from medfed.services.trouble import Conflict
from medfed.storage.database.tables import SessionRow
from medfed.storage.database.types import now
from medfed.web import WebOptions, create_app
from medfed.web.server import Server

BACK = "/login/outside/back"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with identity_provider(free_port()) as made:
        yield made


@pytest.fixture
def settings(issuer) -> dict:
    return {
        "name": "the hospital", "issuer": issuer, "client_id": "medfed", "client_secret": SECRET,
        "roles_claim": "groups", "roles": GROUPS,
    }  # fmt: skip


@pytest.fixture
def console(tmp_path, sqlite_url, settings) -> Iterator[Console]:
    folder = tmp_path / "console"
    folder.mkdir()
    (folder / "oidc.toml").write_text(tomli_w.dumps(settings))
    made = Console.open(folder, sqlite_url, bcrypt_rounds=4)
    peopled(made)
    yield made
    made.close()


@pytest.fixture
def app(console):
    return create_app(console, WebOptions(live=False))


def test_a_console_that_is_new_knows_its_roles(tmp_path, sqlite_url, settings):
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "oidc.toml").write_text(tomli_w.dumps(settings))
    with serving(Server(folder, sqlite_url, bcrypt_rounds=4)) as url:
        assert "the hospital" in requests.get(f"{url}/login", timeout=10).text


def to_the_provider(browser, path: str = "/login/outside/?next=/runs/") -> str:
    answer = browser.get(path)
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"]


def as_person(where: str, subject: str) -> str:
    """What the provider answers to whoever logs in there: the path to go on with here."""
    answer = requests.post(where, data={"sub": subject}, allow_redirects=False, timeout=20)
    assert answer.status_code == 302, answer.text
    back = urllib.parse.urlsplit(answer.headers["Location"])
    assert back.path == BACK
    return f"{back.path}?{back.query}"


def log_in(app, subject: str):
    browser = app.test_client()
    return browser, browser.get(as_person(to_the_provider(browser), subject))


def me(browser) -> dict:
    return browser.get("/api/v1/me").json


def test_people_get_an_account_of_their_own_with_the_roles_of_their_groups(app, console):
    browser, answer = log_in(app, "0001")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/runs/")
    assert (me(browser)["name"], me(browser)["roles"]) == ("li.wei", ["researcher"])
    again, _ = log_in(app, "0001")
    assert me(again)["name"] == "li.wei"
    assert me(log_in(app, "0004")[0])["roles"] == ["administrator", "researcher"]
    page = app.test_client().get("/login").text
    assert "Log in by the hospital" in page


def test_nobody_takes_over_an_account_by_its_name_or_address(app, console):
    before = {user.name: [role.name for role in user.roles] for user in console.accounts.users()}
    browser, _ = log_in(app, "0002")
    assert (me(browser)["name"], me(browser)["roles"]) == ("admin-2", ["researcher"])
    after = {user.name: [role.name for role in user.roles] for user in console.accounts.users()}
    assert after == {**before, "admin-2": ["researcher"]}
    # And no password opens it: not an empty one, nor one that an administrator would set.
    client = app.test_client()
    for password in ("", PASSWORD, "!"):
        form = {"csrf_token": csrf_of(client), "name": "admin-2", "password": password}
        assert client.post("/login", data=form).status_code == 403
    with pytest.raises(Exception, match="kept elsewhere"):
        console.accounts.reset("admin-2")


def test_roles_follow_the_groups_at_each_log_in(app, console):
    log_in(app, "0001")
    app.extensions["medfed-provider"].roles["research"] = ["viewer", "auditor"]
    assert me(log_in(app, "0001")[0])["roles"] == ["auditor", "viewer"]
    app.extensions["medfed-provider"].roles["research"] = []
    browser, answer = log_in(app, "0001")
    assert (answer.status_code, "None of your groups" in answer.text) == (422, True)
    assert me(browser)["error"]["message"]


def test_whoever_has_no_role_there_any_more_has_none_in_what_is_open_here(app, console):
    inside, _ = log_in(app, "0001")
    assert me(inside)["roles"] == ["researcher"]
    app.extensions["medfed-provider"].roles["research"] = []
    assert log_in(app, "0001")[1].status_code == 422
    assert me(inside)["roles"] == []
    assert inside.get("/runs/").status_code == 403


def alone(console, name: str) -> None:
    """Let somebody be the only one who may create and change users."""
    boss = identity(console.accounts, "administrator")
    for other in ("admin", "administrator"):
        console.accounts.change(boss, other, full_name="", roles=["viewer"], active=True)
    with console.database.read() as session:
        assert [user.name for user in managers(session)] == [name]


@pytest.mark.parametrize("groups", [[], ["viewer"]])
def test_the_last_who_manages_users_stays_it_whatever_the_groups_say(app, console, groups):
    inside, _ = log_in(app, "0004")
    alone(console, "user")
    app.extensions["medfed-provider"].roles.clear()
    app.extensions["medfed-provider"].roles["research"] = groups
    browser, answer = log_in(app, "0004")
    assert answer.status_code == 302
    assert me(browser)["roles"] == sorted(["administrator", *groups])
    assert me(inside)["roles"] == me(browser)["roles"]
    assert "nobody else may create and change users" in browser.get("/").text
    acts = audit.entries(console.database, words="user user")
    (act,) = (each for each in acts if each.reason.startswith("kept roles: administrator;"))
    assert (act.actor, act.subject, act.allowed) == ("system", "user user", True)
    # With somebody else who does, the groups alone say what this one may.
    boss = Identity(id=1, name="user", rights=frozenset({"user.manage"}))
    console.accounts.change(boss, "admin", full_name="", roles=["administrator"], active=True)
    browser, answer = log_in(app, "0004")
    assert answer.status_code == (302 if groups else 422)
    assert me(inside)["roles"] == groups


def test_groups_may_give_roles_that_were_made_here(console):
    boss = identity(console.accounts, "administrator")
    own_roles.make_role(console.database, boss, "夜班 医生", "", {"overview.read": "all"})
    file = console.place.path / "oidc.toml"
    settings = tomllib.loads(file.read_text())
    file.write_text(tomli_w.dumps({**settings, "roles": {"research": ["夜班 医生"]}}))
    app = create_app(console, WebOptions(live=False))
    browser, _ = log_in(app, "0001")
    assert me(browser)["roles"] == ["夜班 医生"]
    console.accounts.change(boss, "li.wei", full_name="", roles=["viewer"], active=True)
    provider = app.extensions["medfed-provider"]
    with pytest.raises(Conflict, match="gives this role to groups: research"):
        own_roles.remove_role(console.database, boss, "夜班 医生", provider)


def test_a_log_in_that_asked_for_no_password_confirms_nothing(app, console):
    claims = {"sub": "9", "preferred_username": "quick", "groups": ["boss"]}
    provider = app.extensions["medfed-provider"]
    for when, confirmed_now in ((None, False), (time.time() - 3600, False), (time.time(), True)):
        given = claims if when is None else {**claims, "auth_time": int(when)}
        secret = arrive(console.database, provider, given, "", "").secret
        who = console.accounts.identify(secret, "")
        assert confirmed(console.database, who) is confirmed_now


@pytest.mark.parametrize("subject", ["turned", "forged"])
def test_what_the_provider_did_not_sign_for_us_now_is_refused(app, console, subject):
    browser, answer = log_in(app, subject)
    assert answer.status_code == 422
    assert "did not confirm who you are" in answer.text
    assert "error" in me(browser)
    assert not any(user.full_name == subject for user in console.accounts.users())


def test_strangers_without_a_role_and_barred_people_stay_outside(app, console):
    browser, answer = log_in(app, "0003")
    assert (answer.status_code, "None of your groups" in answer.text) == (422, True)
    assert "guest" not in [user.name for user in console.accounts.users()]
    (act,) = audit.entries(console.database, words="guest")
    assert (act.allowed, act.reason) == (False, "none of your groups has a role here")
    inside, _ = log_in(app, "0001")
    with console.database.write() as session:
        from medfed.storage.database.tables import UserRow

        session.execute(update(UserRow).where(UserRow.name == "li.wei").values(active=False))
    assert "error" in me(inside)
    assert "barred" in log_in(app, "0001")[1].text
    assert "error" in me(browser)


def test_an_answer_counts_once_and_only_for_who_asked(app, console):
    victim, attacker = app.test_client(), app.test_client()
    theirs = as_person(to_the_provider(attacker), "0001")
    # The attacker's own answer, sent to a victim's browser: it never asked (state).
    to_the_provider(victim)
    assert victim.get(theirs).status_code == 422
    assert "error" in me(victim)
    assert attacker.get(theirs).status_code == 302
    # Twice is once too often.
    assert app.test_client().get(theirs).status_code == 422
    # A stolen code under one's own state: its verifier is missing (PKCE).
    thief = app.test_client()
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(to_the_provider(thief)).query)["state"][0]
    stolen = as_person(to_the_provider(app.test_client()), "0001")
    assert thief.get(re.sub(r"state=[^&]+", f"state={state}", stolen)).status_code == 422
    assert "error" in me(thief)


def test_a_deed_that_asks_again_asks_there(app, console):
    browser, _ = log_in(app, "0004")
    long_ago = now().replace(year=2020)
    with console.database.write() as session:
        session.execute(update(SessionRow).values(confirmed=long_ago))
    page = browser.get("/users/new", follow_redirects=True).text
    assert "Log in again by the hospital" in page
    assert 'type="password"' not in page
    for subject, there in (("0001", False), ("0004", True)):
        where = to_the_provider(browser, "/login/outside/?next=/users/new")
        assert "prompt=login" in where
        assert "max_age=0" in where
        answer = browser.get(as_person(where, subject))
        assert (answer.status_code == 302) is there
        assert (browser.get("/users/new").status_code == 200) is there


def test_where_one_goes_afterwards_is_inside(app):
    browser = app.test_client()
    where = to_the_provider(browser, "/login/outside/?next=//evil.example/")
    assert browser.get(as_person(where, "0001")).headers["Location"] == "/"


def test_a_provider_that_is_away_or_another_is_said(tmp_path, console, settings):
    for issuer in (f"http://localhost:{free_port()}", settings["issuer"] + "/"):
        file = console.place.path / "oidc.toml"
        file.write_text(tomli_w.dumps({**settings, "issuer": issuer}))
        answer = create_app(console, WebOptions(live=False)).test_client().get("/login/outside/")
        assert answer.status_code == 422
        assert "dentity provider" in answer.text


def test_without_a_provider_there_is_no_such_page(console):
    (console.place.path / "oidc.toml").unlink()
    browser = create_app(console, WebOptions(live=False)).test_client()
    for path in ("/login/outside/", BACK):
        assert browser.get(path).status_code == 404
    assert "outside" not in browser.get("/login").text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"issuer": "http://idp.example"}, "https"),
        ({"issuer": ""}, "no text"),
        ({"roles": {}}, "no group"),
        ({"roles": {"g": ["emperor"]}}, "must be a list of"),
        ({"colour": "blue"}, "exactly these keys"),
    ],
)
def test_a_file_that_is_not_in_order_is_refused_with_what_is_wrong(
    tmp_path, settings, change, words
):
    (tmp_path / "oidc.toml").write_text(tomli_w.dumps({**settings, **change}))
    with pytest.raises(RunError, match=words) as caught:
        Provider.read(tmp_path, ROLES)
    assert SECRET not in str(caught.value)
    (tmp_path / "oidc.toml").write_text("= nonsense")
    with pytest.raises(RunError, match="cannot be read"):
        Provider.read(tmp_path, ROLES)
