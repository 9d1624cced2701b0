"""Models: what finished runs gave, and their cards."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import StudyError
from medfed.services.console.models import CARD
from medfed.services.reports import card_in
from medfed.storage.database.tables import ModelRow
from medfed.web import words
from medfed.web.errors import status_of
from medfed.web.language import TAGS, choose
from medfed.web.paging import page_number
from medfed.web.rules import console, needs, user
from medfed.web.speech import speech

blueprint = Blueprint("models", __name__, url_prefix="/models")
PER_PAGE = 25


@blueprint.get("/")
@needs("model.read")
def index() -> ResponseReturnValue:
    """All models."""
    page = page_number()
    rows, total = console().models.list(offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
    return render_template("models.html", models=rows, page=page, pages=-(-total // PER_PAGE))


@blueprint.get("/<int(max=2147483647):number>")
@needs("model.read")
def show(number: int) -> ResponseReturnValue:
    """One model: figures with intervals, and its card."""
    return _page(console().models.find(number))


@blueprint.post("/<int(max=2147483647):number>/release")
@needs("model.release")
def release(number: int) -> ResponseReturnValue:
    """Approve a model for a hospital, or no longer."""
    row, site = console().models.find(number), request.form.get("site", "").strip()
    try:
        if "take-back" in request.form:
            console().releases.take_back(user(), number, site)
        else:
            console().releases.approve(user(), number, site)
    except StudyError as error:
        return _page(row, problem=words.error(error)), status_of(error)
    return redirect(url_for(".show", number=number))


@blueprint.post("/<int(max=2147483647):number>/withdraw")
@needs("model.withdraw")
def withdraw(number: int) -> ResponseReturnValue:
    """Let nobody use a model any more."""
    row = console().models.find(number)
    try:
        console().releases.withdraw(user(), number, request.form.get("reason", ""))
    except StudyError as error:
        return _page(row, problem=words.error(error)), status_of(error)
    flash(_("The model is withdrawn."))
    return redirect(url_for(".show", number=number))


def _card_of(row: ModelRow) -> tuple[str, str]:
    """The card in the reader's language, and the language that it came in."""
    english = console().models.card(row)
    if not english:
        return "", TAGS["en"]
    card = card_in(console().models.file(row.run_id, CARD), speech()).decode()
    return card, TAGS["en" if card == english else choose()]


def _page(row: ModelRow, **more: object) -> str:
    here = console()
    card, language = _card_of(row)
    run = here.runs.find(row.run_id)
    taken = {release.site for release in row.releases}
    return render_template(
        "model.html",
        row=row,
        run=run,
        card=card,
        card_language=language,
        sites=sorted(here.releases.known(row) - taken),
        here=here.hospital.name if here.hospital else None,
        used=here.desk.models.by_digest(row.sha256) if here.desk else None,
        **more,
    )
