"""Preferences set by an administrator: checked, recorded, in force within seconds."""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace

from medfed.core.errors import AccessError
from medfed.services.accounts.identity import Identity, Subject
from medfed.services.accounts.login import require_confirmed
from medfed.services.audit import plain, record
from medfed.services.preferences import (
    BOUNDS,
    LANGUAGES,
    LONGEST_NOTICE,
    Preferences,
    forget,
    preferences,
)
from medfed.storage.database import Database
from medfed.storage.database.tables import SettingRow

CHANGE = "settings.change"


def set_preferences(database: Database, by: Identity, given: Mapping[str, str]) -> Preferences:
    """Set what is given; the rest stays.

    Args:
        database: The console's.
        by: Who sets it.
        given: Values as a person types them, by name.

    Raises:
        AccessError: ``by`` may not or must confirm first, or a value is not possible.
    """
    require_confirmed(database, by, CHANGE, Subject("settings"))
    forget(database)
    before = preferences(database)
    wanted = _checked(before, given)
    changed = {
        name: value for name, value in asdict(wanted).items() if value != getattr(before, name)
    }
    with database.write() as session:
        for name, value in changed.items():
            session.merge(SettingRow(name=name, value=value))
            said = f"from {getattr(before, name) or '–'} to {value or '–'}"
            record(session, by, CHANGE, f"setting {name}", reason=said)
    forget(database)
    return wanted


def _checked(before: Preferences, given: Mapping[str, str]) -> Preferences:
    numbers: dict[str, int] = {}
    for name, (low, high) in BOUNDS.items():
        text = given.get(name, str(getattr(before, name))).strip()
        if not (re.fullmatch("[0-9]{1,4}", text) and low <= int(text) <= high):
            message = f"this must be a whole number from {low} to {high}"
            raise AccessError(message, remedy="Write another one")
        numbers[name] = int(text)
    wanted = Preferences(**{**asdict(before), **numbers})
    if wanted.unused > wanted.longest:
        raise AccessError(
            "a session cannot last longer without use than at most",
            remedy="Make the one shorter or the other longer",
        )
    language = given.get("language", before.language)
    if language not in LANGUAGES:
        raise AccessError("there is no such language here", remedy="Choose one of those shown")
    notice = plain(" ".join(given.get("notice", before.notice).split()), LONGEST_NOTICE)
    return replace(wanted, language=language, notice=notice)
