"""What left the hospital, over the API."""

from typing import Any

from apiflask import APIBlueprint

from medfed.web import participation_shapes
from medfed.web.api.participation_schemas import ReceiptOut, RunReceiptsOut, VerdictOut
from medfed.web.api.schemas import ERRORS, PageQuery, page_of
from medfed.web.rules import hospital, needs

blueprint = APIBlueprint("receipts", __name__, tag="hospital", url_prefix="/receipts")


@blueprint.get("")
@needs("receipt.read")
@blueprint.output(page_of(RunReceiptsOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_receipts() -> dict[str, Any]:
    """Runs in which something left, the latest first."""
    rows = [participation_shapes.run(each) for each in hospital().receipts.runs()]
    return {"items": rows, "total": len(rows)}


@blueprint.get("/verdict")
@needs("receipt.read")
@blueprint.output(VerdictOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_verdict() -> dict[str, Any]:
    """Whether the site's log and receipts are what was signed."""
    found = hospital().receipts.verified()
    return {
        "site": found.verdict.site,
        "fingerprint": found.fingerprint,
        "entries": found.verdict.entries,
        "receipts": found.verdict.receipts,
        "faults": found.verdict.faults,
        "writing": found.writing,
        "checked": found.at.isoformat(),
    }


@blueprint.get("/runs/<run>")
@needs("receipt.read")
@blueprint.input(PageQuery, location="query")
@blueprint.output(page_of(ReceiptOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_run_receipts(run: str, query_data: dict[str, Any]) -> dict[str, Any]:
    """What left in one run, reply by reply, each signature checked."""
    found, start = hospital().receipts.of_run(run), query_data["offset"]
    rows = found[start : start + query_data["limit"]]
    return {"items": [participation_shapes.receipt(each) for each in rows], "total": len(found)}
