"""Inferences and their reviews over the API."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response, send_file

from medfed.core.errors import DataError
from medfed.core.private_files import binary
from medfed.services.inference.place import FOUND, REVIEWED
from medfed.services.inference.sending import ask_to_send
from medfed.services.trouble import Missing
from medfed.web import inference_shapes, inference_words
from medfed.web.api.inference_schemas import (
    FindingOut,
    InferenceNew,
    InferenceOut,
    InferencesQuery,
    ReleasedOut,
    ResultOut,
    ReviewNew,
    SignNew,
)
from medfed.web.api.schemas import ERRORS, page_of
from medfed.web.rules import desk, needs, user

blueprint = APIBlueprint("inference", __name__, tag="inference")
FILE_TYPES = (*FOUND.values(), *REVIEWED.values())
TYPES: dict[str, Any] = {kind.partition(";")[0]: {} for kind in FILE_TYPES}


@blueprint.get("/released")
@needs("model.read")
@blueprint.output(page_of(ReleasedOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_released() -> dict[str, Any]:
    """Released models that the hospital uses, or has used."""
    rows = desk().models.list()
    return {"items": [inference_shapes.admitted(row) for row in rows], "total": len(rows)}


@blueprint.get("/released/<int(max=2147483647):number>")
@needs("model.read")
@blueprint.output(ReleasedOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_released(number: int) -> dict[str, Any]:
    """One of them; with what its form asks."""
    row = desk().models.find(number)
    questions = desk().models.questions(row) if row.kind == "table" else ()
    return inference_shapes.admitted(row, questions)


@blueprint.post("/released/<int(max=2147483647):number>/withdraw")
@needs("model.admit")
@blueprint.output(ReleasedOut)
@blueprint.doc(responses=ERRORS, security="token")
def withdraw_released(number: int) -> dict[str, Any]:
    """Use a model no more; what it found stays."""
    return inference_shapes.admitted(desk().models.withdraw(user(), number))


@blueprint.post("/released/<int(max=2147483647):number>/ask")
@needs("model.admit")
@blueprint.output(ReleasedOut)
@blueprint.doc(responses=ERRORS, security="token")
def ask_released(number: int) -> dict[str, Any]:
    """Ask the coordinator's console now whether it withdrew a model; ``recall`` is its answer."""
    desk().recall.ask(user(), number)
    return inference_shapes.admitted(desk().models.find(number))


@blueprint.get("/inferences")
@needs("inference.read")
@blueprint.input(InferencesQuery, location="query")
@blueprint.output(page_of(InferenceOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_inferences(query_data: dict[str, Any]) -> dict[str, Any]:
    """Inferences, the latest first."""
    rows, total = desk().inferences.list(**query_data)
    return {"items": [inference_shapes.inference(row, desk()) for row in rows], "total": total}


@blueprint.post("/inferences")
@needs("inference.run")
@blueprint.input(InferenceNew)
@blueprint.output(InferenceOut, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def create_inference(json_data: dict[str, Any]) -> dict[str, Any]:
    """Ask a model about a scan of the catalogue, or about a patient by answers."""
    model, scan, answers = json_data["model"], json_data["scan"], json_data["answers"]
    if bool(scan) == (answers is not None):
        raise DataError("a model is asked about a scan or by answers", remedy="Give either of them")
    inferences = desk().inferences
    if scan:
        row = inferences.look(user(), model, scan)
    else:
        row = inferences.assess(user(), model, answers)
    return inference_shapes.inference(row, desk())


@blueprint.get("/inferences/<inference>")
@needs("inference.view")
@blueprint.output(ResultOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_inference(inference: str) -> dict[str, Any]:
    """One inference, with what the model said."""
    row = desk().inferences.find(inference)
    about = {"given": row.given, "result": row.result}
    return {**inference_shapes.inference(row, desk()), **about}


@blueprint.post("/inferences/<inference>/again")
@needs("inference.run")
@blueprint.output(InferenceOut)
@blueprint.doc(responses=ERRORS, security="token")
def repeat_inference(inference: str) -> dict[str, Any]:
    """Try once more what failed."""
    desk().inferences.again(user(), inference)
    return _standing(inference)


@blueprint.get("/inferences/<inference>/findings")
@needs("inference.view")
@blueprint.output(page_of(FindingOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_findings(inference: str) -> dict[str, Any]:
    """What the model found, and what people said of it."""
    desk().inferences.find(inference)
    rows = [inference_shapes.standing(each) for each in desk().reviews.standing(inference)]
    return {"items": rows, "total": len(rows)}


@blueprint.post("/inferences/<inference>/findings/<int(max=255):number>/reviews")
@needs("inference.review")
@blueprint.input(ReviewNew)
@blueprint.output(FindingOut, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def review_finding(inference: str, number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Accept, correct or reject a finding; ``last`` is the review that was seen before."""
    verdict = json_data.pop("verdict")
    desk().reviews.judge(user(), inference, number, verdict, **json_data)
    rows = desk().reviews.standing(inference)
    return inference_shapes.standing(next(each for each in rows if each.number == number))


@blueprint.post("/inferences/<inference>/sign")
@needs("inference.review")
@blueprint.input(SignNew)
@blueprint.output(InferenceOut)
@blueprint.doc(responses=ERRORS, security="token")
def sign_inference(inference: str, json_data: dict[str, Any]) -> dict[str, Any]:
    """Confirm what was said of all findings; a person does, never a token.

    ``last`` is the highest number of all reviews that were seen, 0 for none.
    """
    desk().reviews.sign(user(), inference, **json_data, words=inference_words.report())
    return _standing(inference)


@blueprint.post("/inferences/<inference>/reopen")
@needs("inference.review")
@blueprint.output(InferenceOut)
@blueprint.doc(responses=ERRORS, security="token")
def reopen_inference(inference: str) -> dict[str, Any]:
    """Take the signature back; what was made from it is offered no more."""
    desk().reviews.reopen(user(), inference)
    return _standing(inference)


@blueprint.post("/inferences/<inference>/send")
@needs("inference.export")
@blueprint.output(InferenceOut)
@blueprint.doc(responses=ERRORS, security="token")
def send_inference(inference: str) -> dict[str, Any]:
    """Send what was signed to the hospital's PACS."""
    ask_to_send(desk().inferences, user(), inference)
    return _standing(inference)


@blueprint.get("/inferences/<inference>/files/<part>/<name>")
@needs("inference.export")
@blueprint.doc(
    responses={200: {"description": "the file", "content": TYPES}, **ERRORS}, security="token"
)
def get_result_file(inference: str, part: str, name: str) -> Response:
    """A file of what the model ``found``, or of what was ``reviewed`` and signed."""
    if part not in ("found", "reviewed"):
        raise Missing("there is no such file", remedy="Look at what is offered")
    path, kind = desk().inferences.file(inference, part, name)
    return send_file(binary(path), mimetype=kind, as_attachment=True, download_name=name)


def _standing(inference: str) -> dict[str, Any]:
    return inference_shapes.inference(desk().inferences.find(inference), desk())
