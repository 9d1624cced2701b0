"""The tables of a hospital: what is in them, deleting."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.web.rules import hospital, needs, user

blueprint = Blueprint("tables", __name__, url_prefix="/tables")


@blueprint.get("/<name>")
@needs("data.read")
def show(name: str) -> ResponseReturnValue:
    """One table: its columns, never its values."""
    return render_template("table.html", table=hospital().tables.find(name))


@blueprint.route("/<name>/delete", methods=["GET", "POST"])
@needs("data.delete")
def delete(name: str) -> ResponseReturnValue:
    """Delete a table, once it was said what that means."""
    table = hospital().tables.find(name)
    if request.method == "GET" or "sure" not in request.form:
        return render_template("table_delete.html", table=table)
    hospital().tables.delete(user(), name)
    flash(_("The table is deleted."))
    return redirect(url_for("data.index"))
