"""The federation at a glance."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from medfed.services.console.runs import OPEN
from medfed.services.hospital.imports import KIND as IMPORT
from medfed.web import shapes
from medfed.web.rules import console, desk, hospital, needs

blueprint = Blueprint("overview", __name__)
LITTLE_SPACE = 1_000_000_000
"""Bytes; with less a run may not get to its end."""


@blueprint.get("/")
@needs("overview.read")
def index() -> ResponseReturnValue:
    """Hospitals, runs under way, the latest models; or what a hospital has."""
    here = console()
    if not here.coordinates:
        return _of_hospital()
    rows, _ = here.runs.list(limit=100)
    under_way = [shapes.run(row, here.runs) for row in rows if row.state in OPEN]
    hospitals = here.hospitals.list()
    failed = [row for row in rows[:10] if row.state == "failed"]
    models, count_models = here.models.list(limit=4)
    _, count_studies = here.studies.list(limit=1)
    _, count_runs = here.runs.list(limit=1)
    return render_template(
        "overview.html",
        runs=under_way,
        failed=failed,
        models=models,
        federation=here.hospitals.federation(),
        hospitals=hospitals,
        away=[each.name for each in hospitals if each.state == "offline"],
        short_of_space=here.place.free < LITTLE_SPACE,
        counts={"studies": count_studies, "runs": count_runs, "models": count_models},
    )


def _of_hospital() -> ResponseReturnValue:
    here = hospital()
    imports, _total = here.jobs.list(IMPORT, limit=5)
    return render_template(
        "overview_hospital.html",
        name=here.name,
        counts=here.scans.counts(),
        tables=len(here.tables.list()),
        imports=imports,
        to_review=desk().inferences.to_review(),
        unheard=desk().recall.unheard(),
        asking=sum(not each.approved for each in here.participation.list()),
    )
