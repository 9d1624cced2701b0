"""What left the hospital: run by run, reply by reply, as the site signed it."""

from flask import Blueprint, Response, render_template
from flask.typing import ResponseReturnValue

from medfed.web.paging import page_number
from medfed.web.rules import hospital, needs

blueprint = Blueprint("receipts", __name__, url_prefix="/receipts")
PER_PAGE = 100
LINES = "application/jsonl"


@blueprint.get("/")
@needs("receipt.read")
def index() -> ResponseReturnValue:
    """All runs, and whether the record of them is whole."""
    here = hospital().receipts
    return render_template("receipts.html", rows=here.runs(), checked=here.verified())


@blueprint.get("/<run>")
@needs("receipt.read")
def show(run: str) -> ResponseReturnValue:
    """What left in one run."""
    found, page = hospital().receipts.of_run(run), page_number()
    return render_template(
        "receipts_run.html",
        run=run,
        receipts=found[(page - 1) * PER_PAGE : page * PER_PAGE],
        whole=[each.content for each in found],
        bad=sum(not each.good for each in found),
        page=page,
        pages=-(-len(found) // PER_PAGE),
    )


@blueprint.get("/receipts.jsonl")
@needs("receipt.read")
def download_all() -> ResponseReturnValue:
    """All receipts, one JSON object a line."""
    return _lines(None)


@blueprint.get("/<run>/receipts.jsonl")
@needs("receipt.read")
def download(run: str) -> ResponseReturnValue:
    """Those of one run."""
    return _lines(run)


def _lines(run: str | None) -> Response:
    answer = Response(hospital().receipts.lines(run), mimetype=LINES)
    named = f"receipts-{hospital().name}-{run or 'all'}.jsonl"
    answer.headers.set("Content-Disposition", "attachment", filename=named)
    return answer
