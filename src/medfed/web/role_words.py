"""What roles may do, put in order and into words."""

from collections.abc import Sequence
from typing import NamedTuple

from flask_babel import force_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from medfed.services.accounts.roles import ACTIONS, EVERYBODY, ROLES
from medfed.web.language import LANGUAGES
from medfed.web.words import role, said

KINDS = {
    "overview": _l("Overview"),
    "study": _l("Studies"),
    "run": _l("Runs"),
    "model": _l("Models"),
    "site": _l("Hospitals"),
    "data": _l("Data"),
    "participation": _l("Participation"),
    "receipt": _l("What left"),
    "inference": _l("Inference"),
    "user": _l("Users"),
    "session": _l("Sessions"),
    "token": _l("Tokens for programs"),
    "audit": _l("Audit"),
    "settings": _l("Settings"),
    "help": _l("Help"),
    "metrics": _l("Metrics"),
}
"""What acts are upon, in the order of the menu."""


class Deed(NamedTuple):
    """An act.

    Attributes:
        action: Its name.
        words: What it is.
        everybody: Whether everybody may it whatever their roles, be it only with what is theirs.
    """

    action: str
    words: str
    everybody: bool


def groups() -> Sequence[tuple[str, Sequence[Deed]]]:
    """All acts, by what they are upon; what everybody may with all things is left out."""
    return [
        (str(name), [_deed(action) for action in ACTIONS if _of(action, kind)])
        for kind, name in KINDS.items()
        if any(_of(action, kind) for action in ACTIONS)
    ]


def shipped() -> set[str]:
    """What pages call the roles that come with this program, in every language."""
    found: set[str] = set()
    for language in LANGUAGES:
        with force_locale(language):
            found.update(map(role, ROLES))
    return found


def right(name: str) -> str:
    """A right as the record names it."""
    action, _colon, own = name.partition(":")
    if action not in ACTIONS:
        return name
    deed = said(ACTIONS[action])
    return str(_("%(deed)s (only their own)", deed=deed)) if own else deed


def _of(action: str, kind: str) -> bool:
    return action.partition(".")[0] == kind and action not in EVERYBODY


def _deed(action: str) -> Deed:
    return Deed(action, said(ACTIONS[action]), f"{action}:own" in EVERYBODY)
