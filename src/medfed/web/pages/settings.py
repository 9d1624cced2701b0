"""How this console is set up, for those who look after it."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from medfed.web.rules import console, needs
from medfed.web.settings_facts import groups

blueprint = Blueprint("settings", __name__, url_prefix="/settings")


@blueprint.get("/")
@needs("settings.read")
def index() -> ResponseReturnValue:
    """What it is made of, where it keeps things, and its limits."""
    return render_template("settings.html", groups=list(groups(console())))
