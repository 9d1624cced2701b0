"""Roles and what each may do: for everybody who sees users, to be changed by who makes them."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import AccessError
from medfed.services.accounts import own_roles, role_rights
from medfed.services.accounts.roles import ROLES
from medfed.services.trouble import Conflict
from medfed.storage.database.tables import RoleRow
from medfed.web import role_words, words
from medfed.web.confirming import confirm_first
from medfed.web.errors import status_of
from medfed.web.rules import console, needs, user

blueprint = Blueprint("roles", __name__, url_prefix="/users/roles")


@blueprint.get("/")
@needs("user.read")
def index() -> ResponseReturnValue:
    """All roles beside one another."""
    roles = console().accounts.roles()
    reaches = {role.name: role_rights.reaches(role.rights) for role in roles}
    changed = [name for name in ROLES if reaches.get(name) != role_rights.shipped(name)]
    groups = role_words.groups()
    return render_template(
        "roles.html", roles=roles, reaches=reaches, changed=changed, shipped=ROLES, groups=groups
    )


@blueprint.route("/new", methods=["GET", "POST"])
@needs("user.manage")
def new() -> ResponseReturnValue:
    """Make a role, from nothing or like one that there is."""
    like = request.args.get("like", "")
    if question := confirm_first(url_for(".new", like=like or None)):
        return question
    if request.method == "GET":
        row = role_rights.find_role(console().database, like) if like else None
        return _form(None, role_rights.reaches(row.rights) if row else {})
    form, chosen = request.form, _chosen()
    name, about = form.get("name", ""), form.get("about", "")
    try:
        shown = role_words.shipped()
        own_roles.make_role(console().database, user(), name, about, chosen, shown)
    except (AccessError, Conflict) as error:
        return _form(None, chosen, **_refused(error))
    flash(_("The role is made. Give it to people on their pages."))
    return redirect(url_for(".index"))


@blueprint.route("/<name>", methods=["GET", "POST"])
@needs("user.manage")
def edit(name: str) -> ResponseReturnValue:
    """Change what a role may."""
    if question := confirm_first(url_for(".edit", name=name)):
        return question
    row = role_rights.find_role(console().database, name)
    if request.method == "GET":
        return _form(row, role_rights.reaches(row.rights), row.rights)
    form, chosen = request.form, _chosen()
    if "restore" in form:
        chosen = dict(role_rights.shipped(name))
    try:
        seen = [str(each) for each in json.loads(form.get("seen", ""))]
    except (ValueError, TypeError):
        seen = []
    about = form.get("about")
    try:
        role_rights.change_role(console().database, user(), name, chosen, seen, about)
    except (AccessError, Conflict) as error:
        return _form(row, chosen, seen, **_refused(error))
    flash(_("Saved. It counts at once for everybody with this role."))
    return redirect(url_for(".index"))


@blueprint.post("/<name>/rename")
@needs("user.manage")
def rename(name: str) -> ResponseReturnValue:
    """Call a role of one's own otherwise."""
    if question := confirm_first(url_for(".edit", name=name)):
        return question
    row = role_rights.find_role(console().database, name)
    provider, shown = current_app.extensions["medfed-provider"], role_words.shipped()
    new = request.form.get("name", "")
    try:
        own_roles.rename_role(console().database, user(), name, new, provider, shown)
    except (AccessError, Conflict) as error:
        return _form(row, role_rights.reaches(row.rights), row.rights, **_refused(error))
    flash(_("The role is renamed. Whoever had it has it."))
    return redirect(url_for(".index"))


@blueprint.post("/<name>/remove")
@needs("user.manage")
def remove(name: str) -> ResponseReturnValue:
    """Remove a role of one's own."""
    if question := confirm_first(url_for(".edit", name=name)):
        return question
    row = role_rights.find_role(console().database, name)
    try:
        provider = current_app.extensions["medfed-provider"]
        own_roles.remove_role(console().database, user(), name, provider)
    except Conflict as error:
        return _form(row, role_rights.reaches(row.rights), row.rights, **_refused(error))
    flash(_("The role is removed."))
    return redirect(url_for(".index"))


def _chosen() -> dict[str, str]:
    form = request.form
    return {key: form[key] for key in form if "." in key and form[key] != "none"}


def _refused(error: AccessError | Conflict) -> dict[str, Any]:
    return {"problem": words.error(error), "status": status_of(error)}


def _form(
    row: RoleRow | None,
    held: Mapping[str, str],
    seen: object = (),
    problem: words.Trouble | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    page = render_template(
        "role.html",
        row=row,
        form=request.form,
        held=held,
        seen=json.dumps(seen),
        shipped=role_rights.shipped(row.name) if row else {},
        having=own_roles.holders(console().database, row.name) if row else (),
        owned=role_rights.OWNED,
        longest=(own_roles.LONGEST_NAME, role_rights.LONGEST_ABOUT),
        groups=role_words.groups(),
        problem=problem,
    )
    return page, status
