"""The one question for rights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.services import audit
from medfed.services.accounts import NOBODY, Identity, Subject, may
from medfed.services.accounts.rights import Denied, require
from medfed.services.accounts.roles import ACTIONS, EVERYBODY, ROLES


def person(role: str, **more) -> Identity:
    return Identity(id=7, name="li", roles=(role,), rights=frozenset(ROLES[role]), **more)


TABLE = {
    "administrator": "user.manage session.revoke audit.read study.read",
    "coordinator": "study.edit study.approve run.start run.stop model.download",
    "researcher": "study.create run.start model.download",
    "data-steward": "study.approve run.stop",
    "clinician": "model.read run.read",
    "auditor": "audit.read user.read study.read metrics.read",
    "viewer": "study.read run.read model.read",
}
FORBIDDEN = {
    "administrator": "study.approve run.start model.download",
    "coordinator": "user.manage user.read audit.read",
    "researcher": "study.approve user.read",
    "data-steward": "study.create run.start user.manage",
    "clinician": "model.download run.start study.create",
    "auditor": "user.manage run.stop study.create",
    "viewer": "study.create run.start model.download audit.read",
}


@pytest.mark.parametrize("role", ROLES)
def test_what_each_role_may(role):
    for action in TABLE[role].split():
        assert may(person(role), action), action
    for action in FORBIDDEN[role].split():
        assert may(person(role), action).why == "role", action


@given(st.sampled_from(sorted(ACTIONS)), st.sampled_from(sorted(ROLES)))
def test_nobody_may_nothing_and_a_token_never_more_than_its_owner(action, role):
    assert may(NOBODY, action).why == "anonymous"
    assert may(person(role, scopes=frozenset()), action).why == "scope"
    limited = person(role, scopes=frozenset({"study.*", "*.read"}))
    assert not may(limited, action) or may(person(role), action)


def test_what_is_ones_own():
    who = person("researcher")
    assert may(who, "study.edit", Subject("study 1", "li"))
    assert may(who, "study.edit", Subject("study 1", "wang")).why == "not-yours"
    assert may(person("coordinator"), "study.edit", Subject("study 1", "wang"))


def test_a_password_set_by_another_is_changed_first():
    who = person("coordinator", must_change=True)
    assert may(who, "study.read").why == "change-password"


def test_every_right_of_a_role_is_about_something():
    for rights in (*ROLES.values(), EVERYBODY):
        for right in rights:
            kind, _, deed = right.removesuffix(":own").partition(".")
            assert any(
                kind in ("*", known.split(".")[0]) and deed in ("*", known.split(".")[1])
                for known in ACTIONS
            ), right


def test_a_misspelt_action_is_never_a_yes():
    with pytest.raises(KeyError):
        may(person("coordinator"), "study.raed")


def test_a_denial_is_recorded_and_cannot_forge_a_line(database):
    with pytest.raises(Denied, match="none of your roles"):
        require(database, person("viewer"), "user.manage", Subject("user x\n2026 admin ok"))
    (row,) = audit.entries(database)
    assert (row.actor, row.action, row.allowed) == ("li", "user.manage", False)
    assert row.subject == "user x 2026 admin ok"
    assert "none of your roles" in row.reason


def test_the_record_is_read_page_by_page(database):
    for number in range(7):
        with database.write() as session:
            audit.record(session, person("viewer"), "look", f"thing {number}_%")
    first = audit.entries(database, limit=3)
    second = audit.entries(database, limit=3, before=first[-1].id)
    assert [row.subject for row in (*first, *second)] == [f"thing {n}_%" for n in range(6, 0, -1)]
    assert [r.subject for r in audit.entries(database, words="3_%")] == ["thing 3_%"]
