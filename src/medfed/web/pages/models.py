"""Models: what finished runs gave, and their cards."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from medfed.web.paging import page_number
from medfed.web.rules import console, needs

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
    row = console().models.find(number)
    return render_template("model.html", row=row, card=console().models.card(row))
