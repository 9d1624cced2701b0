"""The data of a hospital: the catalogue, scans to look at, deleting."""

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.services.viewing.views import PLANES
from medfed.web import data_words
from medfed.web.paging import page_number
from medfed.web.rules import hospital, needs, user

blueprint = Blueprint("data", __name__, url_prefix="/data")
PER_PAGE = 25


@blueprint.get("/")
@needs("data.read")
def index() -> ResponseReturnValue:
    """The scans that are there."""
    page, here = page_number(), hospital().scans
    words = request.args.get("q", "")[:100].strip()
    rows, total = here.list(words, offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
    return render_template(
        "data.html",
        scans=rows,
        counts=here.counts(),
        tables=hospital().tables.list(),
        q=words,
        page=page,
        pages=-(-total // PER_PAGE),
    )


@blueprint.get("/<scan>")
@needs("data.view")
def show(scan: str) -> ResponseReturnValue:
    """One scan, slice by slice."""
    row = hospital().scans.find(scan)
    view = hospital().scans.view(scan)
    return render_template(
        "scan.html", row=row, view=view, planes=PLANES, windows=data_words.WINDOWS
    )


@blueprint.get("/<scan>/<plane>/<int(max=99999):index>.png")
@needs("data.view")
def picture(scan: str, plane: str, index: int) -> ResponseReturnValue:
    """One slice."""
    view = hospital().scans.view(scan)
    window = request.args.get("window", "lung")
    drawn = view.png(plane, index, window, outlined="outlined" in request.args)
    return Response(drawn, mimetype="image/png")


@blueprint.get("/<scan>/thumbnail.png")
@needs("data.view")
def thumbnail(scan: str) -> ResponseReturnValue:
    """A small picture."""
    return Response(hospital().scans.thumbnail(scan), mimetype="image/png")


@blueprint.route("/<scan>/delete", methods=["GET", "POST"])
@needs("data.delete")
def delete(scan: str) -> ResponseReturnValue:
    """Delete a scan, once it was said what that means."""
    row = hospital().scans.find(scan)
    if request.method == "GET" or "sure" not in request.form:
        return render_template("scan_delete.html", row=row)
    hospital().scans.delete(user(), scan)
    flash(_("The scan is deleted."))
    return redirect(url_for(".index"))
