"""Imports of a hospital: files chosen and sent, progress, what came of it in words."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.services.hospital.imports import KIND
from medfed.services.hospital.names import ENDINGS
from medfed.services.hospital.uploads import LARGEST
from medfed.web import data_shapes, data_words
from medfed.web.paging import page_number
from medfed.web.rules import can, hospital, needs, user

blueprint = Blueprint("imports", __name__, url_prefix="/imports")
PER_PAGE = 25


@blueprint.get("/")
@needs("data.read")
def index() -> ResponseReturnValue:
    """All imports."""
    page = page_number()
    rows, total = hospital().jobs.list(KIND, offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
    return render_template("imports.html", jobs=rows, page=page, pages=-(-total // PER_PAGE))


@blueprint.get("/new")
@needs("data.add")
def new() -> ResponseReturnValue:
    """Choose files; the page's script sends them."""
    return render_template(
        "import_new.html", endings=ENDINGS, largest=LARGEST, script=data_words.script()
    )


@blueprint.get("/<job>")
@needs("data.read")
def show(job: str) -> ResponseReturnValue:
    """One import: how far it is, or what came of it."""
    row = hospital().jobs.find(job, KIND)
    mine = can("data.add") and row.owner == user().name
    about = data_shapes.job(row, files=can("data.add"))
    files = hospital().uploads.of_job(job) if mine and row.state == "open" else ()
    return render_template("import.html", job=row, about=about, mine=mine, files=files)


@blueprint.post("/<job>/again")
@needs("data.add")
def again(job: str) -> ResponseReturnValue:
    """Import once more what was refused."""
    accept = "accept_doubts" in request.form
    hospital().imports.again(user(), job, accept_doubts=accept)
    return redirect(url_for(".show", job=job))


@blueprint.post("/<job>/drop")
@needs("data.add")
def drop(job: str) -> ResponseReturnValue:
    """Remove an import's files, and forget it."""
    hospital().imports.drop(user(), job)
    flash(_("The import and its files are removed. Scans that were taken in stay."))
    return redirect(url_for(".index"))
