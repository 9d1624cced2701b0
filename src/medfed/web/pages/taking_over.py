"""A model taken over by the hospital of the same console, with one click."""

from flask import Blueprint, flash, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.services.inference.taking_over import take_over
from medfed.web.rules import console, desk, hospital, needs, user

blueprint = Blueprint("taking_over", __name__, url_prefix="/models")


@blueprint.post("/<int(max=2147483647):number>/take-over")
@needs("model.admit")
def admit(number: int) -> ResponseReturnValue:
    """Approve a model of this console for its own hospital."""
    row = take_over(console().models, desk(), hospital().name, user(), number)
    desk().recall.ask(user(), row.id)
    flash(_("The model is approved for this hospital."))
    return redirect(url_for("released.show", number=row.id))
