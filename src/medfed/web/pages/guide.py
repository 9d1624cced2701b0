"""How to go on."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from medfed.web.rules import console, needs

blueprint = Blueprint("guide", __name__, url_prefix="/help")


@blueprint.get("/")
@needs("help.read")
def index() -> ResponseReturnValue:
    """The steps, the roles, the words."""
    return render_template("help.html", roles=console().accounts.roles())
