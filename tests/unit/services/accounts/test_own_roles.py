"""Roles of a console's own: made, changed, renamed, removed."""

from __future__ import annotations

import pytest
from accounting import PASSWORD, accounts_of, identity

from medfed.core.errors import AccessError
from medfed.services import audit
from medfed.services.accounts import may, own_roles
from medfed.services.accounts.login import Unconfirmed
from medfed.services.accounts.outsiders import Provider
from medfed.services.accounts.own_roles import holders, make_role, remove_role, rename_role
from medfed.services.accounts.rights import Denied
from medfed.services.accounts.role_rights import change_role, find_role, reaches
from medfed.services.trouble import Conflict, Missing

NIGHT = "Night shift 2"
RIGHTS = {"overview.read": "all", "run.read": "all", "run.stop": "own"}


@pytest.fixture
def accounts(database):
    return accounts_of(database)


@pytest.fixture
def boss(accounts):
    return identity(accounts, "administrator")


def test_a_role_is_made_given_changed_and_removed(accounts, boss):
    database = accounts.database
    make_role(database, boss, f" {NIGHT} ", " stops\nruns ", RIGHTS)
    row = find_role(database, NIGHT)
    assert (row.about, reaches(row.rights)) == ("stops runs", RIGHTS)
    give(accounts, boss, [NIGHT])
    secret = accounts.log_in("viewer", PASSWORD)
    assert may(accounts.identify(secret), "run.stop")
    assert not may(accounts.identify(secret), "model.read")
    wanted = {"overview.read": "all", "model.read": "all"}
    change_role(database, boss, NIGHT, wanted, about="looks at models")
    assert may(accounts.identify(secret), "model.read")
    assert not may(accounts.identify(secret), "run.stop")
    assert holders(database, NIGHT) == ["viewer"]
    with pytest.raises(Conflict, match="somebody has this role: viewer"):
        remove_role(database, boss, NIGHT)
    give(accounts, boss, ["viewer"])
    remove_role(database, boss, NIGHT)
    with pytest.raises(Missing):
        find_role(database, NIGHT)
    with pytest.raises(AccessError, match="there is no role"):
        give(accounts, boss, [NIGHT])
    said = [act.reason for act in audit.entries(database, words=f"role {NIGHT}")]
    made = "created; allowed: overview.read, run.read, run.stop:own; is for: stops runs"
    changed = "allowed: model.read; taken away: run.read, run.stop:own"
    assert said == ["removed", changed, "is for: looks at models", made]


def give(accounts, boss, roles) -> None:
    accounts.change(boss, "viewer", full_name="", roles=roles, active=True)


@pytest.mark.parametrize(
    "name", ["", "x", "2 nights", "a, b", "a;b", "a  b", "new", "None", "<b>", "a\u202eb", "x" * 41]
)
def test_a_name_is_one_that_pages_and_the_record_can_show(accounts, boss, name):
    with pytest.raises(AccessError, match="cannot be the name"):
        make_role(accounts.database, boss, name, "", RIGHTS)


def test_no_two_roles_are_called_the_same(accounts, boss):
    make_role(accounts.database, boss, "夜班", "", RIGHTS)
    make_role(accounts.database, boss, NIGHT, "", RIGHTS)
    for name in ("夜班", NIGHT.upper(), "Auditor"):
        with pytest.raises(Conflict, match="there is a role of this name"):
            make_role(accounts.database, boss, name, "", RIGHTS)


def test_what_makes_no_sense_is_refused(accounts, boss):
    with pytest.raises(AccessError, match="must also see runs"):
        make_role(accounts.database, boss, NIGHT, "", {"run.start": "all"})
    assert NIGHT not in [role.name for role in accounts.roles()]


def test_shipped_roles_stay_and_keep_their_words(accounts, boss):
    with pytest.raises(Conflict, match="comes with medfed"):
        remove_role(accounts.database, boss, "auditor")
    with pytest.raises(AccessError, match="cannot be said anew"):
        change_role(accounts.database, boss, "auditor", {}, about="nothing")
    assert find_role(accounts.database, "auditor").rights == ["*.read"]


def test_a_role_of_ones_own_may_be_all_that_manages_users(accounts, boss):
    database = accounts.database
    wanted = {"user.read": "all", "user.manage": "all"}
    make_role(database, boss, NIGHT, "", wanted)
    for name in ("admin", "administrator"):
        roles = [NIGHT] if name == "administrator" else []
        accounts.change(boss, name, full_name="", roles=roles, active=True)
    with pytest.raises(AccessError, match="nobody would be left"):
        change_role(database, boss, NIGHT, {"user.read": "all"})
    with pytest.raises(Conflict, match="administrator"):
        remove_role(database, boss, NIGHT)


def test_it_takes_the_right_and_the_password(accounts, boss, monkeypatch):
    auditor = identity(accounts, "auditor")
    with pytest.raises(Denied):
        make_role(accounts.database, auditor, NIGHT, "", RIGHTS)
    with pytest.raises(Denied):
        remove_role(accounts.database, auditor, "viewer")
    make_role(accounts.database, boss, NIGHT, "", RIGHTS)
    monkeypatch.setattr("medfed.services.accounts.login.confirmed", lambda *_: False)
    with pytest.raises(Unconfirmed):
        make_role(accounts.database, boss, "another", "", RIGHTS)
    with pytest.raises(Unconfirmed):
        remove_role(accounts.database, boss, NIGHT)
    with pytest.raises(Unconfirmed):
        rename_role(accounts.database, boss, NIGHT, "Days")
    assert own_roles.holders(accounts.database, NIGHT) == []


@pytest.mark.parametrize("name", ["Data steward", "data.steward", "AUDITOR"])
def test_no_role_looks_like_a_shipped_one(accounts, boss, name):
    with pytest.raises(Conflict, match="of this name"):
        make_role(accounts.database, boss, name, "", RIGHTS)


def test_a_name_that_the_identity_provider_gives_by_groups_is_changed_there_first(accounts, boss):
    database = accounts.database
    make_role(database, boss, NIGHT, "", RIGHTS)
    given = {"ward 7": [NIGHT]}
    provider = Provider("Clinic", "https://id.example", "console", "secret", "groups", given)
    with pytest.raises(Conflict, match="gives this role to groups: ward 7"):
        rename_role(database, boss, NIGHT, "Days", provider=provider)
    assert find_role(database, NIGHT).name == NIGHT
    assert rename_role(database, boss, NIGHT, NIGHT.upper()).name == NIGHT.upper()
    with pytest.raises(Denied):
        rename_role(database, identity(accounts, "auditor"), NIGHT.upper(), "Days")
