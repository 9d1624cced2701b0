"""Models over the API."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response, send_file

from medfed.web import shapes
from medfed.web.api.run_schemas import ModelOut, ReleaseWish, Withdrawal
from medfed.web.api.schemas import ERRORS, PageQuery, page_of
from medfed.web.rules import console, needs, user

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


@blueprint.get("/by-digest/<sha256>")
@needs("model.read")
@blueprint.output(ModelOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_model_by_digest(sha256: str) -> dict[str, Any]:
    """The model of a digest: whether it is withdrawn, and which hospitals it is approved for."""
    return shapes.model(console().releases.by_digest(sha256))


@blueprint.get("/<int(max=2147483647):number>/card")
@needs("model.read")
@blueprint.doc(responses={200: {"description": "the card"}, **ERRORS}, security="token")
def get_card(number: int) -> Response:
    """The model card as data."""
    run = console().models.find(number).run_id
    return send_file(console().models.file(run, "model_card.json"), mimetype="application/json")


@blueprint.post("/<int(max=2147483647):number>/releases")
@needs("model.release")
@blueprint.input(ReleaseWish)
@blueprint.output(ModelOut, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def release_model(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Approve a model for a hospital."""
    return shapes.model(console().releases.approve(user(), number, json_data["site"]))


@blueprint.delete("/<int(max=2147483647):number>/releases/<name>")
@needs("model.release")
@blueprint.output(ModelOut)
@blueprint.doc(responses=ERRORS, security="token")
def take_back_model(number: int, name: str) -> dict[str, Any]:
    """Approve a model for a hospital no longer."""
    return shapes.model(console().releases.take_back(user(), number, name))


@blueprint.post("/<int(max=2147483647):number>/withdraw")
@needs("model.withdraw")
@blueprint.input(Withdrawal)
@blueprint.output(ModelOut)
@blueprint.doc(responses=ERRORS, security="token")
def withdraw_model(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Let nobody use a model any more."""
    return shapes.model(console().releases.withdraw(user(), number, json_data["reason"]))
