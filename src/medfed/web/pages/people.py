"""Users and their sessions, for administrators."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import AccessError
from medfed.storage.database.types import now
from medfed.web import words
from medfed.web.confirming import confirm_first
from medfed.web.errors import status_of
from medfed.web.people import ONLINE
from medfed.web.rules import console, needs, user

blueprint = Blueprint("people", __name__, url_prefix="/users")


@blueprint.get("/")
@needs("user.read")
def index() -> ResponseReturnValue:
    """All users, and who is online."""
    sessions = console().accounts.sessions()
    online = {row.user_id for row in sessions if now() - row.seen < ONLINE}
    users = console().accounts.users()
    return render_template("users.html", users=users, sessions=sessions, online=online)


@blueprint.route("/new", methods=["GET", "POST"])
@needs("user.manage")
def new() -> ResponseReturnValue:
    """Make a user."""
    if question := confirm_first(url_for(".new")):
        return question
    if request.method == "GET":
        return _form(None)
    if _asks():
        return _form(None, asks=True)
    form = request.form
    name, full_name, roles = form.get("name", ""), form.get("full_name", ""), form.getlist("roles")
    try:
        row, password = console().accounts.create(user(), name, full_name, roles)
    except AccessError as error:
        return _form(None, error)
    return render_template("user_password.html", name=row.name, password=password)


@blueprint.route("/<name>", methods=["GET", "POST"])
@needs("user.manage")
def edit(name: str) -> ResponseReturnValue:
    """Change a user."""
    if question := confirm_first(url_for(".edit", name=name)):
        return question
    row = console().accounts.find(name)
    if request.method == "GET":
        return _form(row)
    if _asks():
        return _form(row, asks=True)
    try:
        console().accounts.change(
            user(),
            name,
            full_name=request.form.get("full_name", ""),
            roles=request.form.getlist("roles"),
            active="active" in request.form,
        )
    except AccessError as error:
        return _form(row, error)
    flash(_("Saved."))
    return redirect(url_for(".index"))


@blueprint.post("/<name>/password")
@needs("user.manage")
def new_password(name: str) -> ResponseReturnValue:
    """Give a user a new password."""
    if question := confirm_first(url_for(".edit", name=name)):
        return question
    password = console().accounts.new_password(user(), name)
    return render_template("user_password.html", name=name, password=password)


def _asks() -> bool:
    """Whether to ask if a user without a role is meant: such a one can do next to nothing."""
    return not request.form.getlist("roles") and "roleless" not in request.form


def _form(
    row: object, error: AccessError | None = None, *, asks: bool = False
) -> ResponseReturnValue:
    page = render_template(
        "user_edit.html",
        row=row,
        form=request.form,
        roles=console().accounts.roles(),
        problem=words.error(error) if error else None,
        asks=asks,
    )
    if asks:
        return page, 422
    return page, status_of(error) if error else 200
