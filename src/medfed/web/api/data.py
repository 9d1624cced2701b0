"""A hospital's scans over the API."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from medfed.web import data_shapes
from medfed.web.api.data_schemas import ScanOut, ScansQuery, SliceQuery
from medfed.web.api.schemas import ERRORS, page_of
from medfed.web.rules import hospital, needs, user

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


@blueprint.get("/scans/<scan>")
@needs("data.read")
@blueprint.output(ScanOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_scan(scan: str) -> dict[str, Any]:
    """One scan."""
    return data_shapes.scan(hospital().scans.find(scan))


@blueprint.delete("/scans/<scan>")
@needs("data.delete")
@blueprint.output({}, status_code=204)
@blueprint.doc(responses=ERRORS, security="token")
def delete_scan(scan: str) -> str:
    """Delete a scan, its findings, and what was made of it."""
    hospital().scans.delete(user(), scan)
    return ""


@blueprint.get("/scans/<scan>/<plane>/<int(max=99999):index>")
@needs("data.view")
@blueprint.input(SliceQuery, location="query")
@blueprint.doc(
    responses={200: {"description": "the slice", "content": {"image/png": {}}}, **ERRORS},
    security="token",
)
def get_slice(scan: str, plane: str, index: int, query_data: dict[str, Any]) -> Response:
    """One slice, as it is seen in a window."""
    drawn = hospital().scans.view(scan).png(plane, index, **query_data)
    return Response(drawn, mimetype="image/png")
