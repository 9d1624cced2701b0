"""A hospital's data over the API."""

from typing import Any

from apiflask import APIBlueprint

from medfed.web import data_shapes
from medfed.web.api.data_schemas import ScanOut, ScansQuery
from medfed.web.api.schemas import ERRORS, page_of
from medfed.web.rules import hospital, needs

blueprint = APIBlueprint("data", __name__, tag="data")


@blueprint.get("/scans")
@needs("data.read")
@blueprint.input(ScansQuery, location="query")
@blueprint.output(page_of(ScanOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_scans(query_data: dict[str, Any]) -> dict[str, Any]:
    """Scans by patient."""
    rows, total = hospital().scans.list(query_data.pop("q"), **query_data)
    return {"items": [data_shapes.scan(row) for row in rows], "total": total}
