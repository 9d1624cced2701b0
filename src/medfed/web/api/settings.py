"""How the console is set up, over the API."""

from dataclasses import asdict
from typing import Any

from apiflask import APIBlueprint

from medfed.services.preferences import preferences
from medfed.services.setting import set_preferences
from medfed.web.api.schemas import ERRORS, SettingsChange, SettingsOut
from medfed.web.rules import console, needs, user
from medfed.web.settings_facts import groups

blueprint = APIBlueprint("settings", __name__, tag="settings", url_prefix="/settings")


@blueprint.get("")
@needs("settings.read")
@blueprint.output(SettingsOut)
@blueprint.doc(responses=ERRORS, security="token")
def get_settings() -> dict[str, Any]:
    """What the console is made of, where it keeps things, and its limits."""
    return _settings()


@blueprint.patch("")
@needs("settings.change")
@blueprint.input(SettingsChange)
@blueprint.output(SettingsOut)
@blueprint.doc(responses=ERRORS, security="token")
def change_settings(json_data: dict[str, Any]) -> dict[str, Any]:
    """Set what can be set while the console runs; what is not sent stays."""
    given = {name: str(value) for name, value in json_data.items()}
    set_preferences(console().database, user(), given)
    return _settings()


def _settings() -> dict[str, Any]:
    found = groups(console())
    return {
        "set": asdict(preferences(console().database)),
        "groups": [{**g._asdict(), "facts": [f._asdict() for f in g.facts]} for g in found],
    }
