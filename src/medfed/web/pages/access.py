"""Logging in and out, passwords, language."""

from urllib.parse import urlsplit

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import AccessError
from medfed.services.accounts.login import WrongPassword
from medfed.services.audit import plain
from medfed.web import words
from medfed.web.errors import status_of
from medfed.web.language import LANGUAGES, keep
from medfed.web.people import address, begin, end
from medfed.web.rules import KNOWN, PUBLIC, console, needs, user

blueprint = Blueprint("access", __name__)


def inside(target: str | None) -> str:
    """Where to go on: a path of this console, never another host."""
    home = url_for("overview.index")
    if not target or not target.startswith("/") or target.startswith("//") or "\\" in target:
        return home
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or any(not c.isprintable() for c in target):
        return home
    return target


@blueprint.route("/login", methods=["GET", "POST"])
@needs(PUBLIC)
def login() -> ResponseReturnValue:
    """Log in."""
    target = inside(request.args.get("next"))
    if request.method == "GET":
        return redirect(target) if user().known else render_template("login.html")
    name, password = request.form.get("name", ""), request.form.get("password", "")
    agent = plain(request.user_agent.string, 200)
    try:
        secret = console().accounts.log_in(name, password, address=address(), agent=agent)
    except AccessError as error:
        problem = words.error(error)
        return render_template("login.html", name=name, problem=problem), status_of(error)
    begin(console(), secret)
    return redirect(target)


@blueprint.post("/logout")
@needs(KNOWN)
def logout() -> ResponseReturnValue:
    """Log out: the session is gone, here and on the live pages."""
    console().accounts.end_session(user(), user().session)
    end()
    return redirect(url_for("access.login"))


@blueprint.route("/password", methods=["GET", "POST"])
@needs(KNOWN)
def password() -> ResponseReturnValue:
    """Change one's password."""
    if request.method == "GET":
        return render_template("password.html")
    old, new = request.form.get("old", ""), request.form.get("new", "")
    try:
        if new != request.form.get("again", ""):
            return _refused_password(
                words.Trouble(_("The two new passwords differ."), _("Type them again.")), 422
            )
        console().accounts.change_password(user(), old, new)
    except AccessError as error:
        return _refused_password(_refusal(error), status_of(error))
    flash(_("Your password is changed. All your other sessions and your tokens are ended."))
    return redirect(url_for("overview.index"))


def _refused_password(problem: words.Trouble, status: int) -> ResponseReturnValue:
    return render_template("password.html", problem=problem), status


@blueprint.route("/confirm", methods=["GET", "POST"])
@needs(KNOWN)
def confirm() -> ResponseReturnValue:
    """Show again that one is who one is, before an act that asks for it."""
    target = inside(request.args.get("next"))
    if request.method == "GET":
        return render_template("confirm.html")
    try:
        console().accounts.confirm_password(user(), request.form.get("password", ""))
    except AccessError as error:
        return render_template("confirm.html", problem=_refusal(error)), status_of(error)
    return redirect(target)


def _refusal(error: AccessError) -> words.Trouble:
    """Why somebody who is known is refused: it cannot be their name."""
    if isinstance(error, WrongPassword):
        return words.Trouble(_("The present password is wrong."), _("Try again."))
    return words.error(error)


@blueprint.post("/language")
@needs(PUBLIC)
def language() -> ResponseReturnValue:
    """Choose the language of all pages, for good: one's own where one is logged in."""
    chosen = request.form.get("language", "")
    answer = make_response(redirect(inside(request.form.get("next"))))
    if chosen in LANGUAGES:
        keep(answer, chosen)
    return answer
