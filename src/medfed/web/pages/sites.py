"""Hospitals: who is online, what is known of them, and inviting the next one."""

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from medfed.core.errors import SiteError
from medfed.web import charts, words
from medfed.web.confirming import confirm_first
from medfed.web.rules import console, needs, user

blueprint = Blueprint("sites", __name__, url_prefix="/sites")


@blueprint.get("/")
@needs("overview.read")
def index() -> ResponseReturnValue:
    """All hospitals, and the federation."""
    return _page()


@blueprint.post("/invite")
@needs("site.invite")
def invite() -> ResponseReturnValue:
    """Invite a hospital; the code is shown once."""
    if question := confirm_first(url_for(".index")):
        return question
    site = request.form.get("site", "").strip()
    try:
        code = console().hospitals.invite(user(), site)
    except SiteError as error:
        return _page(problem=words.error(error)), 422
    return _page(code=code, invited=site)


def _page(**more: object) -> str:
    here = console().hospitals
    sites = here.list()
    about = {"sites": sites, "federation": here.federation(), "map": charts.map_of(sites)}
    return render_template("sites.html", **about, **more)
