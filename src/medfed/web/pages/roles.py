"""Roles and what each may do: for everybody who sees users, to be changed by who makes them."""

import json

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import AccessError
from medfed.services.accounts import role_rights
from medfed.services.trouble import Conflict
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
    changed = [name for name, held in reaches.items() if held != role_rights.shipped(name)]
    groups = role_words.groups()
    return render_template(
        "roles.html", roles=roles, reaches=reaches, changed=changed, groups=groups
    )


@blueprint.route("/<name>", methods=["GET", "POST"])
@needs("user.manage")
def edit(name: str) -> ResponseReturnValue:
    """Change what a role may."""
    if question := confirm_first(url_for(".edit", name=name)):
        return question
    row = role_rights.find_role(console().database, name)
    if request.method == "GET":
        return _form(name, role_rights.reaches(row.rights), row.rights)
    form = request.form
    chosen = {key: form[key] for key in form if "." in key and form[key] != "none"}
    if "restore" in form:
        chosen = dict(role_rights.shipped(name))
    try:
        seen = [str(each) for each in json.loads(form.get("seen", ""))]
    except (ValueError, TypeError):
        seen = []
    try:
        role_rights.change_role(console().database, user(), name, chosen, seen)
    except (AccessError, Conflict) as error:
        return _form(name, chosen, seen, words.error(error), status_of(error))
    flash(_("Saved. It counts at once for everybody with this role."))
    return redirect(url_for(".index"))


def _form(
    name: str,
    held: object,
    seen: object,
    problem: words.Trouble | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    page = render_template(
        "role.html",
        name=name,
        held=held,
        seen=json.dumps(seen),
        shipped=role_rights.shipped(name),
        owned=role_rights.OWNED,
        groups=role_words.groups(),
        problem=problem,
    )
    return page, status
