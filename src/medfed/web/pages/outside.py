"""Logging in by the hospital's own accounts."""

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import AccessError
from medfed.services.accounts import outsiders
from medfed.services.audit import plain
from medfed.web import outside, words
from medfed.web.errors import status_of
from medfed.web.pages.access import inside
from medfed.web.people import address, begin
from medfed.web.rules import PUBLIC, console, needs, refused, user

blueprint = Blueprint("outside", __name__, url_prefix="/login/outside")
TARGET, AGAIN = "outside_next", "outside_again"


@blueprint.get("/")
@needs(PUBLIC)
def ask() -> ResponseReturnValue:
    """Go to the identity provider; whoever is logged in shows again who they are."""
    outside.provider()
    session[TARGET] = inside(request.args.get("next"))
    session[AGAIN] = user().known
    try:
        return outside.ask(url_for(".back", _external=True), again=user().known)
    except AccessError as error:
        return _refused(error)


@blueprint.get("/back")
@needs(PUBLIC)
def back() -> ResponseReturnValue:
    """Come back from there."""
    provider, database = outside.provider(), console().database
    target, again = inside(session.pop(TARGET, None)), bool(session.pop(AGAIN, False))
    try:
        claims = outside.answer(again=again)
        if again:
            outsiders.confirm(database, provider, user(), claims)
            return redirect(target)
    except AccessError as error:
        refused("session.begin", error.message)
        return _refused(error)
    try:
        agent = plain(request.user_agent.string, 200)
        arrival = outsiders.arrive(database, provider, claims, address(), agent)
    except AccessError as error:
        return _refused(error)
    begin(console(), arrival.secret)
    if arrival.kept:
        flash(
            _(
                "No group of yours makes you %(roles)s here any more. You stay it for now, since "
                "nobody else may create and change users: make somebody else administrator.",
                roles=", ".join(map(words.role, arrival.kept)),
            )
        )
    return redirect(target)


def _refused(error: AccessError) -> ResponseReturnValue:
    page = "confirm.html" if user().known else "login.html"
    return render_template(page, problem=words.error(error)), status_of(error)
