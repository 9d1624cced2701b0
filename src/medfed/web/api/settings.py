"""How the console is set up, over the API."""

from typing import Any

from apiflask import APIBlueprint

from medfed.web.api.schemas import ERRORS, SettingsOut
from medfed.web.rules import console, needs
from medfed.web.settings_facts import groups

blueprint = APIBlueprint("settings", __name__, tag="settings", url_prefix="/settings")


@blueprint.get("")
@needs("settings.read")
@blueprint.output(SettingsOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_settings() -> dict[str, Any]:
    """What the console is made of, where it keeps things, and its limits."""
    found = groups(console())
    return {"groups": [{**g._asdict(), "facts": [f._asdict() for f in g.facts]} for g in found]}
