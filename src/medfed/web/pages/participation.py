"""What a hospital takes part in: studies that ask, explained; approved and withdrawn by digest."""

from collections.abc import Sequence

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import MedfedError, StudyError
from medfed.core.study import Study
from medfed.services.outlook import Outlook
from medfed.services.reports.toml_text import study_toml
from medfed.web import participation_words, privacy_words, words
from medfed.web.confirming import confirm_first
from medfed.web.errors import status_of
from medfed.web.rules import console, hospital, needs, user

blueprint = Blueprint("participation", __name__, url_prefix="/participation")


@blueprint.get("/")
@needs("participation.read")
def index() -> ResponseReturnValue:
    """All studies that ask, and those that were approved."""
    return _list()


@blueprint.post("/")
@needs("participation.decide")
def propose() -> ResponseReturnValue:
    """Look at a study that somebody was sent."""
    sent, text = request.files.get("file"), request.form.get("text", "")
    try:
        if sent is not None and sent.filename:
            text = _decoded(sent.read())
        study = hospital().participation.propose(user(), text.replace("\r\n", "\n"))
    except MedfedError as error:
        return _list(problem=words.error(error), text=text), status_of(error)
    return redirect(url_for(".show", digest=study.digest))


@blueprint.get("/<digest>")
@needs("participation.read")
def show(digest: str) -> ResponseReturnValue:
    """One study: what it would do, what would leave, who is protected from whom."""
    here = hospital().participation
    asking = here.find(digest)
    promised, problem = _promised(asking.study)
    price, broken = ((), None) if problem else _price(asking.study)
    return render_template(
        "participation.html",
        asking=asking,
        study=asking.study,
        name=hospital().name,
        does=participation_words.does(asking.study, here.least(asking.study)),
        leaves=participation_words.leaves(asking.study),
        stays=participation_words.stays(),
        promised=promised,
        problem=problem,
        price=[(each, privacy_words.outlook(each)) for each in price],
        broken=broken,
        refused=digest in _without_room() if price else False,
        toml=study_toml(asking.study),
    )


@blueprint.post("/<digest>/approve")
@needs("participation.decide")
def approve(digest: str) -> ResponseReturnValue:
    """Take part in a study, as it was shown."""
    if question := confirm_first(url_for(".show", digest=digest)):
        return question
    hospital().participation.approve(user(), digest)
    flash(_("The study is approved for this hospital."))
    return redirect(url_for(".show", digest=digest))


@blueprint.post("/<digest>/withdraw")
@needs("participation.decide")
def withdraw(digest: str) -> ResponseReturnValue:
    """Take part no more."""
    hospital().participation.withdraw(user(), digest)
    flash(_("The approval is withdrawn. Nothing of this study leaves any more."))
    return redirect(url_for(".show", digest=digest))


@blueprint.post("/<digest>/remove")
@needs("participation.decide")
def dismiss(digest: str) -> ResponseReturnValue:
    """Forget a study that only asks."""
    hospital().participation.dismiss(user(), digest)
    flash(_("The study is removed from the list."))
    return redirect(url_for(".index"))


def _list(**more: object) -> str:
    here = hospital().participation
    return render_template(
        "participations.html",
        rows=here.list(),
        turned=here.turned_away(),
        name=hospital().name,
        **{"problem": None, "problems": (), "text": "", **more},
    )


def _decoded(content: bytes) -> str:
    """The text of a file, which nothing may change before it is approved."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise StudyError(
            "the study is not UTF-8 text", remedy="Send the TOML file that the researcher wrote"
        ) from None


def _price(study: Study) -> tuple[Sequence[Outlook], words.Trouble | None]:
    try:
        prices = console().protections.prices(study, hospital().name)
        return hospital().privacy.outlook(study, prices), None
    except MedfedError as error:
        return (), words.error(error)


def _without_room() -> set[str]:
    """Studies for which a limit had no room."""
    return {each.digest for each in hospital().privacy.refused()}


def _promised(study: Study) -> tuple[object, words.Trouble | None]:
    try:
        return console().protections.of(study), None
    except MedfedError as error:
        return None, words.error(error)
