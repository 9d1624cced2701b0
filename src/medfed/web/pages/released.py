"""Released models that the hospital uses: approved here, with their cards; withdrawn."""

from collections.abc import Mapping
from pathlib import Path

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import DataError, MedfedError
from medfed.services.inference.admitted import CARD, CARD_DATA
from medfed.services.inference.keeping import aside
from medfed.services.reports import retell
from medfed.web import words
from medfed.web.errors import status_of
from medfed.web.language import TAGS, choose
from medfed.web.rules import desk, hospital, needs, takes, user
from medfed.web.speech import speech

blueprint = Blueprint("released", __name__, url_prefix="/released")
LARGEST_MODEL = 1_000_000_000
"""Bytes."""


@blueprint.get("/")
@needs("model.read")
def index() -> ResponseReturnValue:
    """All models that were ever approved here."""
    return _list(None, {})


@blueprint.get("/<int(max=2147483647):number>")
@needs("model.read")
def show(number: int) -> ResponseReturnValue:
    """One of them, with its card."""
    row = desk().models.find(number)
    card = retell(row.card_data, speech()) if row.card_data and choose() != "en" else ""
    questions = desk().models.questions(row) if row.kind == "table" else ()
    return render_template(
        "released_model.html",
        row=row,
        questions=questions,
        card=card or row.card,
        card_language=TAGS[choose() if card else "en"],
        asks=_asks(),
        name=hospital().name,
    )


@blueprint.post("/")
@needs("model.admit")
@takes(LARGEST_MODEL)
def admit() -> ResponseReturnValue:
    """Approve a model that was sent along."""
    guideline = {"title": request.form.get("title", ""), "url": request.form.get("url", "")}
    with aside(desk().place) as folder:
        try:
            _keep("model", folder / "model.safetensors", needed=True)
            _keep_cards(folder)
            row = desk().models.admit(user(), folder, guideline=guideline)
        except MedfedError as error:
            return _list(words.error(error), request.form), status_of(error)
    if _asks():
        desk().recall.ask(user(), row.id)
    flash(_("The model is approved for this hospital."))
    return redirect(url_for(".show", number=row.id))


@blueprint.post("/<int(max=2147483647):number>/withdraw")
@needs("model.admit")
def withdraw(number: int) -> ResponseReturnValue:
    """Use a model no more."""
    desk().models.withdraw(user(), number)
    flash(_("The model is withdrawn. What it found stays."))
    return redirect(url_for(".show", number=number))


@blueprint.post("/<int(max=2147483647):number>/ask")
@needs("model.admit")
def ask(number: int) -> ResponseReturnValue:
    """Ask the coordinator now whether it withdrew a model."""
    desk().recall.ask(user(), number)
    return redirect(url_for(".show", number=number))


def _list(problem: words.Trouble | None, form: Mapping[str, str]) -> str:
    rows = desk().models.list()
    about = {"rows": rows, "problem": problem, "form": form, "asks": _asks()}
    about["unheard"] = desk().recall.unheard()
    return render_template("released.html", **about)


def _asks() -> bool:
    """Whether this hospital knows whom to ask; settings that are wrong say so to nobody's help."""
    try:
        return desk().recall.configured()
    except MedfedError:
        return False


def _keep_cards(folder: Path) -> None:
    """Put a card's text and its data, or one of them, beside the model."""
    for sent in request.files.getlist("card"):
        if sent.filename:
            sent.save(folder / (CARD_DATA if sent.filename.lower().endswith(".json") else CARD))


def _keep(field: str, path: Path, *, needed: bool) -> None:
    """Put a file that was sent where it can be read.

    Raises:
        DataError: It is needed and was not sent.
    """
    sent = request.files.get(field)
    if sent is not None and sent.filename:
        sent.save(path)
    elif needed:
        raise DataError("no model was sent", remedy="Choose the model.safetensors of a run")
