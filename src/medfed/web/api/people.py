"""Users and the record over the API."""

from typing import Any

from apiflask import APIBlueprint
from flask import current_app

from medfed.services import audit
from medfed.services.accounts import own_roles, role_rights
from medfed.web import role_words, shapes
from medfed.web.api.schemas import (
    ERRORS,
    ActOut,
    AuditQuery,
    MeOut,
    RoleChange,
    RoleName,
    RoleNew,
    RoleOut,
    UserChange,
    UserMade,
    UserNew,
    UserOut,
    page_of,
)
from medfed.web.rules import KNOWN, console, needs, user

blueprint = APIBlueprint("people", __name__, tag="people")


@blueprint.get("/me")
@needs(KNOWN)
@blueprint.output(MeOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_me() -> dict[str, Any]:
    """Whoever asks, and what they may."""
    return shapes.me(user())


@blueprint.get("/users")
@needs("user.read")
@blueprint.output(page_of(UserOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_users() -> dict[str, Any]:
    """All users."""
    rows = console().accounts.users()
    return {"items": [shapes.user(row) for row in rows], "total": len(rows)}


@blueprint.post("/users")
@needs("user.manage")
@blueprint.input(UserNew)
@blueprint.output(UserMade, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def create_user(json_data: dict[str, Any]) -> dict[str, Any]:
    """Make a user; the answer holds the password, which is never shown again."""
    row, password = console().accounts.create(user(), **json_data)
    return {**shapes.user(row), "password": password}


@blueprint.put("/users/<name>")
@needs("user.manage")
@blueprint.input(UserChange)
@blueprint.output(UserOut)
@blueprint.doc(responses=ERRORS, security="token")
def change_user(name: str, json_data: dict[str, Any]) -> dict[str, Any]:
    """Change a user's name and roles, or bar them."""
    console().accounts.change(user(), name, **json_data)
    return shapes.user(console().accounts.find(name))


@blueprint.get("/roles")
@needs("user.read")
@blueprint.output(page_of(RoleOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_roles() -> dict[str, Any]:
    """All roles, and what each may."""
    rows = console().accounts.roles()
    return {"items": [shapes.role(row) for row in rows], "total": len(rows)}


@blueprint.put("/roles/<name>")
@needs("user.manage")
@blueprint.input(RoleChange)
@blueprint.output(RoleOut)
@blueprint.doc(responses=ERRORS, security="token")
def change_role(name: str, json_data: dict[str, Any]) -> dict[str, Any]:
    """Say what a role may, and what it is for."""
    chosen, about = _chosen(json_data["rights"]), json_data["about"]
    return shapes.role(
        role_rights.change_role(console().database, user(), name, chosen, about=about)
    )


@blueprint.post("/roles")
@needs("user.manage")
@blueprint.input(RoleNew)
@blueprint.output(RoleOut, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def make_role(json_data: dict[str, Any]) -> dict[str, Any]:
    """Make a role."""
    chosen, about = _chosen(json_data["rights"]), json_data["about"]
    name, shown = json_data["name"], role_words.shipped()
    made = own_roles.make_role(console().database, user(), name, about, chosen, shown)
    return shapes.role(made)


@blueprint.post("/roles/<name>/rename")
@needs("user.manage")
@blueprint.input(RoleName)
@blueprint.output(RoleOut)
@blueprint.doc(responses=ERRORS, security="token")
def rename_role(name: str, json_data: dict[str, Any]) -> dict[str, Any]:
    """Call a role that was made here otherwise; whoever has it keeps it."""
    renamed = own_roles.rename_role(
        console().database,
        user(),
        name,
        json_data["name"],
        provider=current_app.extensions["medfed-provider"],
        shown=role_words.shipped(),
    )
    return shapes.role(renamed)


@blueprint.delete("/roles/<name>")
@needs("user.manage")
@blueprint.output({}, status_code=204)
@blueprint.doc(responses=ERRORS, security="token")
def remove_role(name: str) -> str:
    """Remove a role that was made here and that nobody has."""
    provider = current_app.extensions["medfed-provider"]
    own_roles.remove_role(console().database, user(), name, provider)
    return ""


def _chosen(rights: list[str]) -> dict[str, str]:
    parts = [each.partition(":") for each in rights]
    return {action: reach or "all" for action, _colon, reach in parts}


@blueprint.get("/audit")
@needs("audit.read")
@blueprint.input(AuditQuery, location="query")
@blueprint.output(page_of(ActOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_acts(query_data: dict[str, Any]) -> dict[str, Any]:
    """The record, the latest first; go on with ``before``, the number of the last one seen."""
    console().take_in_acts()
    words, days = query_data.pop("q"), (query_data.pop("since"), query_data.pop("until"))
    rows = audit.entries(console().database, words=words, days=days, **query_data)
    return {"items": [shapes.act(row) for row in rows], "total": len(rows)}
