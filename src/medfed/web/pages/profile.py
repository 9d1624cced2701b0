"""What a person sees of themselves: sessions and tokens."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import AccessError
from medfed.services.accounts import tokens
from medfed.web import words
from medfed.web.confirming import confirm_first
from medfed.web.errors import status_of
from medfed.web.rules import console, needs, user

blueprint = Blueprint("profile", __name__, url_prefix="/profile")


@blueprint.get("/")
@needs("session.read")
def index() -> ResponseReturnValue:
    """One's roles, sessions and tokens."""
    return _page()


@blueprint.post("/sessions/<int(max=2147483647):number>/end")
@needs("session.revoke")
def end_session(number: int) -> ResponseReturnValue:
    """End a session: one's own, or as an administrator anybody's."""
    console().accounts.end_session(user(), number)
    flash(_("The session is ended."))
    back = "people.index" if request.form.get("from") == "users" else ".index"
    return redirect(url_for(back))


@blueprint.post("/tokens")
@needs("token.manage")
def make_token() -> ResponseReturnValue:
    """Make a token; its secret is shown once."""
    if question := confirm_first(url_for(".index")):
        return question
    form = request.form
    days = form.get("days", 0, int)
    try:
        secret = tokens.make_token(
            console().database, user(), form.get("name", ""), form.getlist("scopes"), days
        )
    except AccessError as error:
        return _page(problem=words.error(error)), status_of(error)
    return _page(secret=secret)


@blueprint.post("/tokens/<int(max=2147483647):number>/revoke")
@needs("token.manage")
def revoke_token(number: int) -> ResponseReturnValue:
    """Make a token worthless."""
    tokens.revoke_token(console().database, user(), number)
    flash(_("The token is revoked."))
    return redirect(url_for(".index"))


def _page(**more: object) -> str:
    return render_template(
        "profile.html",
        sessions=console().accounts.sessions(user()),
        tokens=tokens.tokens_of(console().database, user()),
        scopes=tokens.SCOPES,
        **more,
    )
