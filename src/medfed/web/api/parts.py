"""What studies are made of, over the API."""

from typing import Any

from apiflask import APIBlueprint

from medfed.web import wizard
from medfed.web.api.schemas import ERRORS, PartsOut
from medfed.web.rules import needs

blueprint = APIBlueprint("parts", __name__, tag="studies", url_prefix="/parts")


@blueprint.get("")
@needs("study.read")
@blueprint.output(PartsOut)
@blueprint.doc(responses=ERRORS, security="token")
def list_parts() -> dict[str, Any]:
    """Everything a study can be made of: parts by kind and name, and the study's own fields."""
    return {"parts": wizard.parts(), "fields": wizard.fields()}
