"""The data of a hospital."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from medfed.web.paging import page_number
from medfed.web.rules import hospital, needs

blueprint = Blueprint("data", __name__, url_prefix="/data")
PER_PAGE = 25


@blueprint.get("/")
@needs("data.read")
def index() -> ResponseReturnValue:
    """The scans that are there."""
    page = page_number()
    rows, total = hospital().scans.list(offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
    return render_template("data.html", scans=rows, page=page, pages=-(-total // PER_PAGE))
