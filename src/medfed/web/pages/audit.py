"""The record of what people did and were refused."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from medfed.services import audit
from medfed.web.audit_words import acts_called
from medfed.web.paging import before_number
from medfed.web.rules import console, needs

blueprint = Blueprint("audit", __name__, url_prefix="/audit")
PER_PAGE = 50


@blueprint.get("/")
@needs("audit.read")
def index() -> ResponseReturnValue:
    """The latest acts, or those with a word in them."""
    console().take_in_acts()
    words, before = request.args.get("q", "")[:100], before_number()
    rows = audit.entries(
        console().database,
        words=words,
        acts=acts_called(words),
        before=before,
        limit=PER_PAGE + 1,
    )
    more = rows[PER_PAGE - 1].id if len(rows) > PER_PAGE else None
    return render_template("audit.html", rows=rows[:PER_PAGE], q=words, more=more)
