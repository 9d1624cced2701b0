"""How to go on: steps on the first page, and all of the docs."""

from flask import Blueprint, abort, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

from medfed.web.handbook import book, render, search
from medfed.web.handbook.book import PICTURES
from medfed.web.handbook.searching import LONGEST
from medfed.web.rules import console, needs

blueprint = Blueprint("guide", __name__, url_prefix="/help")
SECTIONS = {
    "tutorials": _l("Tutorials"),
    "how-to": _l("How to do it"),
    "reference": _l("Reference"),
    "explanation": _l("Explanations"),
    "decisions": _l("Decisions and their reasons"),
}


@blueprint.get("/")
@needs("help.read")
def index() -> ResponseReturnValue:
    """The steps, the roles, and the docs; or what was found in them."""
    asked = request.args.get("q", "").strip()[:LONGEST]
    return render_template(
        "help.html",
        roles=console().accounts.roles(),
        asked=asked,
        hits=search(book(), asked),
        sections=[(SECTIONS[name], book().section(name)) for name in SECTIONS],
    )


@blueprint.get("/<path:name>")
@needs("help.read")
def page(name: str) -> ResponseReturnValue:
    """A page of the docs, or a picture in one."""
    if picture := book().pictures.get(name):
        return send_file(picture, mimetype=PICTURES[picture.suffix])
    found = book().pages.get(name)
    if found is None:
        abort(404)
    html = render(
        found,
        book(),
        to_page=lambda name: url_for(".page", name=name),
        to_picture=lambda place: url_for(".page", name=place),
    )
    return render_template("help_page.html", page=found, html=html, sections=SECTIONS)
