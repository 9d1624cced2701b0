"""How this console is set up, for those who look after it, and what they may set here."""

from collections.abc import Mapping
from dataclasses import asdict

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import AccessError
from medfed.services.preferences import BOUNDS, LONGEST_NOTICE, NAMES, preferences
from medfed.services.setting import set_preferences
from medfed.web import settings_words, words
from medfed.web.confirming import confirm_first
from medfed.web.errors import status_of
from medfed.web.rules import console, needs, user
from medfed.web.settings_facts import groups

blueprint = Blueprint("settings", __name__, url_prefix="/settings")


@blueprint.get("/")
@needs("settings.read")
def index() -> ResponseReturnValue:
    """What it is made of, where it keeps things, its limits, and where each is changed."""
    return render_template("settings.html", groups=list(groups(console())))


@blueprint.route("/change", methods=["GET", "POST"])
@needs("settings.change")
def change() -> ResponseReturnValue:
    """Set what can be set while the console runs."""
    if question := confirm_first(url_for(".change")):
        return question
    if request.method == "GET":
        return _form(asdict(preferences(console().database)))
    given = {name: request.form[name] for name in NAMES if name in request.form}
    try:
        set_preferences(console().database, user(), given)
    except AccessError as error:
        return _form(given, words.error(error), status_of(error))
    flash(_("Saved. It counts from now on."))
    return redirect(url_for(".index"))


def _form(
    given: Mapping[str, object], problem: words.Trouble | None = None, status: int = 200
) -> ResponseReturnValue:
    page = render_template(
        "settings_change.html",
        given=given,
        names=settings_words.NAMES,
        choices=settings_words.languages(),
        bounds=BOUNDS,
        longest=LONGEST_NOTICE,
        runs=console().coordinates,
        problem=problem,
    )
    return page, status
