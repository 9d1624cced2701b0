"""What was spent of patients' privacy, what is left, and the limits."""

from collections.abc import Mapping

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.core.errors import SiteError
from medfed.web import privacy_words, words
from medfed.web.confirming import confirm_first
from medfed.web.errors import status_of
from medfed.web.paging import page_number
from medfed.web.rules import hospital, needs, user

blueprint = Blueprint("privacy", __name__, url_prefix="/privacy")
PER_PAGE = 25
TYPED = "limit"
"""What somebody typed before the password was asked for: no link of another can fill the form."""
LONGEST = 20
"""Characters of it that are kept."""


@blueprint.get("/")
@needs("participation.read")
def index() -> ResponseReturnValue:
    """What is left, by whom it was spent, and on which studies."""
    return _page(session.pop(TYPED, {}))


@blueprint.post("/limits/<unit>")
@needs("participation.decide")
def set_limit(unit: str) -> ResponseReturnValue:
    """Say how much may be spent in all."""
    form = request.form
    typed = {"unit": unit, **{name: form.get(name, "") for name in ("epsilon", "delta", "rule")}}
    if question := confirm_first(url_for(".index")):
        session[TYPED] = {name: value[:LONGEST] for name, value in typed.items()}
        return question
    try:
        epsilon, delta = float(typed["epsilon"]), float(typed["delta"])
    except ValueError:
        remedy = _("Write them with a point, as 10 and 1e-5.")
        problem = words.Trouble(_("A limit is two numbers."), remedy)
        return _page(typed, problem, 422)
    try:
        hospital().privacy.set_limit(user(), unit, epsilon, delta, typed["rule"] or None)
    except SiteError as error:
        return _page(typed, words.error(error), status_of(error))
    flash(_("The limit is set."))
    return redirect(url_for(".index"))


def _page(
    typed: Mapping[str, str], problem: words.Trouble | None = None, status: int = 200
) -> ResponseReturnValue:
    here, page = hospital().privacy, page_number()
    try:
        accounts, spendings = here.accounts(), here.spendings()
        rows = spendings[(page - 1) * PER_PAGE : page * PER_PAGE]
        costs = [here.cost_of(each) for each in rows]
    except SiteError as error:
        told = render_template("privacy.html", broken=words.error(error))
        return told, status_of(error)
    return render_template(
        "privacy.html",
        accounts=accounts,
        rows=list(zip(rows, costs, strict=True)),
        spendings=spendings,
        refused=here.refused(),
        titles={each.run: each.title for each in spendings},
        known={each.study.digest: each.study.title for each in hospital().participation.list()},
        typed=typed,
        problem=problem,
        page=page,
        pages=-(-len(spendings) // PER_PAGE),
        privacy_words=privacy_words,
    ), status
