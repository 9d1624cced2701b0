"""Runs over the API."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response, send_file

from medfed.services.console.models import DOWNLOADS
from medfed.services.console.side_by_side import side_by_side
from medfed.services.reports.importance import importance_file
from medfed.services.reports.words import metric_name
from medfed.services.trouble import Missing
from medfed.web import shapes
from medfed.web.api.run_schemas import (
    EventOut,
    EventsQuery,
    ImportanceOut,
    PrivacyOut,
    RoundOut,
    RunOut,
    SideBySideOut,
    SideBySideQuery,
)
from medfed.web.api.schemas import ERRORS, PageQuery, page_of
from medfed.web.rules import console, needs, user
from medfed.web.speech import speech, spoken

blueprint = APIBlueprint("runs", __name__, tag="runs", url_prefix="/runs")


@blueprint.get("")
@needs("run.read")
@blueprint.input(PageQuery, location="query")
@blueprint.output(page_of(RunOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_runs(query_data: dict[str, Any]) -> dict[str, Any]:
    """Runs, the latest first."""
    rows, total = console().runs.list(**query_data)
    return {"items": [shapes.run(row, console().runs) for row in rows], "total": total}


@blueprint.get("/side-by-side")
@needs("run.read")
@blueprint.input(SideBySideQuery, location="query")
@blueprint.output(SideBySideOut)
@blueprint.doc(responses=ERRORS, security="token")
def compare_runs(query_data: dict[str, Any]) -> dict[str, Any]:
    """Two finished runs or more side by side: figures with intervals, traffic, time."""
    return side_by_side(console().runs, console().models, query_data["run"])


@blueprint.get("/<run>/comparison")
@needs("run.read")
@blueprint.doc(responses={200: {"description": "the answer"}, **ERRORS}, security="token")
def get_comparison(run: str) -> dict[str, Any]:
    """What a finished comparison found: figures and paired differences with intervals."""
    console().runs.find(run)
    found = console().comparisons.answer(run)
    if found is None:
        raise Missing("there is no answer yet", remedy="Wait until the comparison is finished")
    return found


@blueprint.get("/<run>/feature-importance")
@needs("run.read")
@blueprint.output(ImportanceOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_importance(run: str) -> dict[str, Any]:
    """What each input of a finished run's tabular model is worth, with intervals."""
    return console().results.importance(console().runs.find(run))


@blueprint.get("/<run>/feature-importance.png")
@needs("run.read")
@blueprint.doc(
    responses={200: {"description": "the picture", "content": {"image/png": {}}}, **ERRORS},
    security="token",
)
def get_importance_png(run: str) -> Response:
    """The same as a picture in the reader's language."""
    return _picture(run, "png", "image/png")


@blueprint.get("/<run>/feature-importance.svg")
@needs("run.read")
@blueprint.doc(
    responses={200: {"description": "the picture", "content": {"image/svg+xml": {}}}, **ERRORS},
    security="token",
)
def get_importance_svg(run: str) -> Response:
    """The same, whose words are drawn by the reader's own fonts."""
    return _picture(run, "svg", "image/svg+xml")


def _picture(run: str, kind: str, mimetype: str) -> Response:
    found, say = console().results.importance(console().runs.find(run)), speech()
    figures = {each["name"]: each for each in found["inputs"]}
    picture = importance_file(kind, metric_name(found["metric"], say), figures, say)
    return spoken(picture, mimetype, say)


@blueprint.get("/<run>/privacy")
@needs("run.read")
@blueprint.output(PrivacyOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_privacy(run: str) -> dict[str, Any]:
    """What a run spent of privacy so far, where a ledger on this machine says so."""
    return {"privacy": console().results.privacy(console().runs.find(run))}


@blueprint.get("/<run>")
@needs("run.read")
@blueprint.output(RunOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_run(run: str) -> dict[str, Any]:
    """One run as it stands."""
    return shapes.run(console().runs.find(run), console().runs)


@blueprint.get("/<run>/rounds")
@needs("run.read")
@blueprint.output(page_of(RoundOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_rounds(run: str) -> dict[str, Any]:
    """The rounds of a run, in order."""
    console().runs.find(run)
    rows = console().runs.rounds(run)
    return {"items": [shapes.round_(row) for row in rows], "total": len(rows)}


@blueprint.get("/<run>/events")
@needs("run.read")
@blueprint.input(EventsQuery, location="query")
@blueprint.output(page_of(EventOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_events(run: str, query_data: dict[str, Any]) -> dict[str, Any]:
    """What happened after an event, in order; ``total`` is the number of the latest."""
    console().runs.find(run)
    rows = console().runs.events(run, **query_data)
    return {"items": [shapes.event(row) for row in rows], "total": console().runs.last_event(run)}


@blueprint.post("/<run>/stop")
@needs("run.stop")
@blueprint.output(RunOut)
@blueprint.doc(responses=ERRORS, security="token")
def stop_run(run: str) -> dict[str, Any]:
    """Ask a run to stop; what it did is kept."""
    return shapes.run(console().runs.stop(user(), run), console().runs)


@blueprint.post("/<run>/resume")
@needs("run.stop")
@blueprint.output(RunOut)
@blueprint.doc(responses=ERRORS, security="token")
def resume_run(run: str) -> dict[str, Any]:
    """Ask a run that stopped or failed to go on."""
    return shapes.run(console().runs.resume(user(), run), console().runs)


@blueprint.get("/<run>/files/<name>")
@needs("model.download")
@blueprint.doc(
    responses={
        200: {
            "description": "the file",
            "content": {kind.partition(";")[0]: {} for kind in DOWNLOADS.values()},
        },
        **ERRORS,
    },
    security="token",
)
def get_file(run: str, name: str) -> Response:
    """A file of a finished run: its model, result, metrics, card, study or report."""
    path = console().models.file(run, name)
    return send_file(path, mimetype=DOWNLOADS[name], as_attachment=True)
