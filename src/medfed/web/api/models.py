"""Models over the API."""

from typing import Any

from apiflask import APIBlueprint

from medfed.web import shapes
from medfed.web.api.schemas import ERRORS, ModelOut, PageQuery, page_of
from medfed.web.rules import console, needs

blueprint = APIBlueprint("models", __name__, tag="models", url_prefix="/models")


@blueprint.get("")
@needs("model.read")
@blueprint.input(PageQuery, location="query")
@blueprint.output(page_of(ModelOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_models(query_data: dict[str, Any]) -> dict[str, Any]:
    """Models of finished runs, the latest first."""
    rows, total = console().models.list(**query_data)
    return {"items": [shapes.model(row) for row in rows], "total": total}


@blueprint.get("/<int(max=2147483647):number>")
@needs("model.read")
@blueprint.output(ModelOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_model(number: int) -> dict[str, Any]:
    """One model, with its figures and their intervals."""
    return shapes.model(console().models.find(number))
