"""Imports over the API: open one, send its files by TUS, start it, ask how it goes."""

from typing import Any

from apiflask import APIBlueprint

from medfed.services.hospital.imports import KIND
from medfed.web import data_shapes
from medfed.web.api.data_schemas import Again, FileOut, ImportNew, ImportOut
from medfed.web.api.schemas import ERRORS, PageQuery, page_of
from medfed.web.rules import can, hospital, needs, user

blueprint = APIBlueprint("imports", __name__, tag="data", url_prefix="/imports")


@blueprint.get("")
@needs("data.read")
@blueprint.input(PageQuery, location="query")
@blueprint.output(page_of(ImportOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_imports(query_data: dict[str, Any]) -> dict[str, Any]:
    """Imports, the latest first."""
    rows, total = hospital().jobs.list(KIND, **query_data)
    return {"items": [data_shapes.job(row) for row in rows], "total": total}


@blueprint.post("")
@needs("data.add")
@blueprint.input(ImportNew)
@blueprint.output(ImportOut, status_code=201)
@blueprint.doc(responses=ERRORS, security="token")
def begin_import(json_data: dict[str, Any]) -> dict[str, Any]:
    """Open an import, for files to be sent to ``/uploads``."""
    return data_shapes.job(hospital().imports.begin(user(), json_data))


@blueprint.get("/<job>")
@needs("data.read")
@blueprint.output(ImportOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_import(job: str) -> dict[str, Any]:
    """One import as it stands."""
    return data_shapes.job(hospital().jobs.find(job, KIND), files=can("data.add"))


@blueprint.get("/<job>/files")
@needs("data.add")
@blueprint.output(page_of(FileOut))
@blueprint.doc(responses=ERRORS, security="token")
def list_files(job: str) -> dict[str, Any]:
    """The files of one's own import that were announced, and how much of each was received."""
    hospital().jobs.find(job, KIND, owner=user().name)
    rows = hospital().uploads.of_job(job)
    items = [{name: getattr(row, name) for name in FileOut().fields} for row in rows]
    return {"items": items, "total": len(items)}


@blueprint.post("/<job>/start")
@needs("data.add")
@blueprint.output(ImportOut)
@blueprint.doc(responses=ERRORS, security="token")
def start_import(job: str) -> dict[str, Any]:
    """Take in what was sent."""
    return data_shapes.job(hospital().imports.start(user(), job))


@blueprint.post("/<job>/again")
@needs("data.add")
@blueprint.input(Again)
@blueprint.output(ImportOut)
@blueprint.doc(responses=ERRORS, security="token")
def import_again(job: str, json_data: dict[str, Any]) -> dict[str, Any]:
    """Import once more what was refused."""
    return data_shapes.job(hospital().imports.again(user(), job, **json_data))


@blueprint.delete("/<job>")
@needs("data.add")
@blueprint.output({}, status_code=204)
@blueprint.doc(responses=ERRORS, security="token")
def drop_import(job: str) -> str:
    """Remove an import's files, and forget it."""
    hospital().imports.drop(user(), job)
    return ""
