"""A hospital's tables over the API: what they are called and hold, never their values."""

from dataclasses import asdict
from typing import Any

from apiflask import APIBlueprint

from medfed.web.api.data_schemas import TableOut
from medfed.web.api.schemas import ERRORS, page_of
from medfed.web.rules import hospital, needs, user

blueprint = APIBlueprint("tables", __name__, tag="data", url_prefix="/tables")


@blueprint.get("")
@needs("data.read")
@blueprint.output(page_of(TableOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_tables() -> dict[str, Any]:
    """All tables."""
    rows = hospital().tables.list()
    return {"items": [asdict(row) for row in rows], "total": len(rows)}


@blueprint.delete("/<name>")
@needs("data.delete")
@blueprint.output({}, status_code=204)
@blueprint.doc(responses=ERRORS, security="token")
def delete_table(name: str) -> str:
    """Delete a table."""
    hospital().tables.delete(user(), name)
    return ""
