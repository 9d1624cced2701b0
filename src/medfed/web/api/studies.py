"""Studies over the API."""

from typing import Any

from apiflask import APIBlueprint

from medfed.core.errors import StudyError
from medfed.services.console.comparisons import Comparison
from medfed.services.console.studies import check, compose
from medfed.web import participation_words, shapes
from medfed.web.api.run_schemas import ComparisonWish, RunOut, StartQuery
from medfed.web.api.schemas import (
    ERRORS,
    Approval,
    CheckOut,
    ComposedOut,
    PageQuery,
    Plan,
    ProtectionsOut,
    StudyChange,
    StudyOut,
    StudyText,
    StudyWhole,
    page_of,
)
from medfed.web.errors import problems_json
from medfed.web.rules import console, needs, user
from medfed.web.said import said, sentence

blueprint = APIBlueprint("studies", __name__, tag="studies", url_prefix="/studies")


@blueprint.get("")
@needs("study.read")
@blueprint.input(PageQuery, location="query")
@blueprint.output(page_of(StudyOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_studies(query_data: dict[str, Any]) -> dict[str, Any]:
    """Studies, the last changed first."""
    rows, total = console().studies.list(**query_data)
    return {"items": [shapes.study(row) for row in rows], "total": total}


@blueprint.post("")
@needs("study.create")
@blueprint.input(StudyText)
@blueprint.output(StudyWhole, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def create_study(json_data: dict[str, Any]) -> dict[str, Any]:
    """Keep a new study."""
    return shapes.study(console().studies.create(user(), json_data["toml"]), whole=True)


@blueprint.post("/check")
@needs("study.read")
@blueprint.input(StudyText)
@blueprint.output(CheckOut)
@blueprint.doc(responses=ERRORS, security="token")
def check_study(json_data: dict[str, Any]) -> dict[str, Any]:
    """Say everything that is wrong with a text, and keep nothing."""
    return _checked(json_data["toml"])


@blueprint.post("/compose")
@needs("study.read")
@blueprint.input(Plan)
@blueprint.output(ComposedOut)
@blueprint.doc(responses=ERRORS, security="token")
def compose_study(json_data: dict[str, Any]) -> dict[str, Any]:
    """Write a plan as a study's TOML, say everything that is wrong with it, and keep nothing."""
    text = compose(json_data["plan"])
    return {**_checked(text), "toml": text}


@blueprint.post("/protections")
@needs("study.read")
@blueprint.input(Plan)
@blueprint.output(ProtectionsOut)
@blueprint.doc(responses=ERRORS, security="token")
def explain_protections(json_data: dict[str, Any]) -> dict[str, Any]:
    """What a plan protects, against whom, and at what cost; keeps nothing."""
    checked = check(compose(json_data["plan"]))
    if checked.study is None:
        raise StudyError(checked.message, checked.problems)
    return {"protections": participation_words.promised(console().protections.of(checked.study))}


@blueprint.get("/<int(max=2147483647):number>")
@needs("study.read")
@blueprint.output(StudyWhole)
@blueprint.doc(responses=ERRORS, security="token")
def get_study(number: int) -> dict[str, Any]:
    """One study with its text."""
    return shapes.study(console().studies.find(number), whole=True)


@blueprint.put("/<int(max=2147483647):number>")
@needs("study.edit")
@blueprint.input(StudyChange)
@blueprint.output(StudyWhole)
@blueprint.doc(responses=ERRORS, security="token")
def change_study(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Change a study; what was approved is a draft again."""
    row = console().studies.edit(user(), number, json_data["toml"], json_data["version"])
    return shapes.study(row, whole=True)


@blueprint.post("/<int(max=2147483647):number>/duplicate")
@needs("study.create")
@blueprint.output(StudyWhole, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def duplicate_study(number: int) -> dict[str, Any]:
    """Keep a copy of a study, as a draft."""
    return shapes.study(console().studies.duplicate(user(), number), whole=True)


@blueprint.post("/<int(max=2147483647):number>/approve")
@needs("study.approve")
@blueprint.input(Approval)
@blueprint.output(StudyOut)
@blueprint.doc(responses=ERRORS, security="token")
def approve_study(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Approve a study as it was read."""
    return shapes.study(console().studies.approve(user(), number, json_data["digest"]))


@blueprint.post("/<int(max=2147483647):number>/runs")
@needs("run.start")
@blueprint.input(StartQuery, location="query")
@blueprint.output(RunOut, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def start_run(number: int, query_data: dict[str, Any]) -> dict[str, Any]:
    """Run an approved study."""
    run = console().runs.start(user(), number, query_data["engine"])
    return shapes.run(run, console().runs)


@blueprint.post("/<int(max=2147483647):number>/comparisons")
@needs("run.start")
@blueprint.input(ComparisonWish)
@blueprint.output(RunOut, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def start_comparison(number: int, json_data: dict[str, Any]) -> dict[str, Any]:
    """Compare an approved study with what each hospital could do otherwise; it is a run, too."""
    run = console().runs.compare(user(), number, Comparison(**json_data))
    return shapes.run(run, console().runs)


def _checked(text: str) -> dict[str, Any]:
    checked = check(text)
    return {
        "ok": checked.study is not None,
        "message": sentence(said(checked.message)),
        "problems": problems_json(checked.problems, text),
        "digest": checked.study.digest if checked.study else "",
    }
