"""The federation at a glance."""

from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from medfed.services.console.runs import OPEN
from medfed.services.hospital.imports import KIND as IMPORT
from medfed.web import charts, shapes
from medfed.web.rules import console, desk, hospital, needs

blueprint = Blueprint("overview", __name__)
LATEST = 5
"""Models and releases that are shown."""
LITTLE_SPACE = 1_000_000_000
"""Bytes; with less a run may not get to its end."""


@blueprint.get("/")
@needs("overview.read")
def index() -> ResponseReturnValue:
    """Hospitals, runs under way, models and releases; what a hospital has; or both."""
    here = console()
    if not here.coordinates:
        return render_template("overview_hospital.html", **_hospital())
    rows, _ = here.runs.list(limit=100)
    under_way = [shapes.run(row, here.runs) for row in rows if row.state in OPEN]
    hospitals = here.hospitals.list()
    failed = [row for row in rows[:10] if row.state == "failed"]
    models, count_models = here.models.list(limit=LATEST)
    _, count_studies = here.studies.list(limit=1)
    _, count_runs = here.runs.list(limit=1)
    return render_template(
        "overview.html",
        runs=under_way,
        failed=failed,
        models=models,
        federation=here.hospitals.federation(),
        hospitals=hospitals,
        map=charts.map_of(hospitals),
        releases=here.releases.latest(LATEST),
        here=_hospital() if here.hospital else None,
        away=[each.name for each in hospitals if each.state == "offline"],
        short_of_space=here.place.free < LITTLE_SPACE,
        counts={"studies": count_studies, "runs": count_runs, "models": count_models},
    )


def _hospital() -> dict[str, Any]:
    """What the hospital whose face is shown has, and what waits for its people."""
    here = hospital()
    imports, _total = here.jobs.list(IMPORT, limit=5)
    return {
        "name": here.name,
        "counts": here.scans.counts(),
        "tables": len(here.tables.list()),
        "imports": imports,
        "to_review": desk().inferences.to_review(),
        "unheard": desk().recall.unheard(),
        "asking": sum(not each.approved for each in here.participation.list()),
    }
