"""What the record of acts says, in the reader's language."""

import re
from collections.abc import Sequence

from babel.lists import format_list
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from medfed.services.accounts.roles import ACTIONS
from medfed.services.act_files import AT_MACHINE, SUMMED
from medfed.web.role_words import right
from medfed.web.said import audited
from medfed.web.settings_words import NAMES as SETTINGS
from medfed.web.words import role, said

OTHER_ACTS = {
    "session.begin": _l("log in"),
    "request.send": _l("send a request"),
    "live.connect": _l("follow what happens live"),
    "import.begin": _l("begin an import"),
    "import.drop": _l("drop an import"),
    "look.begin": _l("have a model look at a scan"),
    "look.drop": _l("drop a model's look at a scan"),
    "assess.begin": _l("have a model assess answers"),
    "assess.drop": _l("drop a model's assessment"),
    "export.begin": _l("have results written"),
    "export.drop": _l("drop the writing of results"),
    "send.begin": _l("have results sent to the PACS"),
    "send.drop": _l("drop the sending of results"),
    "console.backup": _l("back the console up"),
    "console.restore": _l("fill the console from a backup"),
    "site.join": _l("join a federation"),
    "site.trust": _l("trust a coordinator's key"),
    "site.pin": _l("pin keys of other hospitals"),
    "site.encrypt": _l("encrypt the hospital's folder"),
    "site.rotate-key": _l("change what opens the hospital's folder"),
    "site.remove": _l("remove a hospital"),
    "federation.renew": _l("renew the server's certificate"),
    SUMMED: _l("sum up acts at the machine, of which too many waited for a console"),
}
"""Acts that no right is named after, and what begins or drops each kind of job."""


NAMELESS = {"system": _l("the program itself"), "nobody": _l("a stranger")}
ROLES = re.compile(r"(?<=roles: )[^;]+")
NO_ROLE = _l("none")
RULES = {"proven": _l("proven"), "sum": _l("the sum")}
RULE = re.compile(r"(?<=\(rule )(?:proven|sum)(?=, order )")
RIGHTS = re.compile(r"(?:(?<=allowed: )|(?<=taken away: ))[a-z][^;]+")


def act(name: str) -> str:
    """What somebody did or tried."""
    if name in OTHER_ACTS:
        return str(OTHER_ACTS[name])
    return said(ACTIONS[name]) if name in ACTIONS else name


def actor(name: str) -> str:
    """Who it was: a user by name, the program itself, or somebody at the machine."""
    if not name.startswith(AT_MACHINE):
        return str(NAMELESS.get(name, name))
    user, _as, owner = name.removeprefix(AT_MACHINE).partition(" as ")
    if owner:
        return str(_("%(user)s, at the machine as %(owner)s", user=user, owner=owner))
    return str(_("%(user)s, at the machine", user=user))


def told(text: str) -> str:
    """Upon what, or why: by the record's own words, else by those of errors."""
    if (setting := text.removeprefix("setting ")) != text and setting in SETTINGS:
        return str(SETTINGS[setting])
    text = RIGHTS.sub(_rights, ROLES.sub(_roles, RULE.sub(_rule, text)))
    found = audited(text)
    return found if found != text else said(text)


def _rule(name: re.Match[str]) -> str:
    return str(RULES[name[0]])


def _roles(names: re.Match[str]) -> str:
    given = [str(NO_ROLE) if name == "none" else role(name) for name in names[0].split(", ")]
    return format_list(given, locale=get_locale())


def _rights(names: re.Match[str]) -> str:
    return format_list([right(each) for each in names[0].split(", ")], locale=get_locale())


def acts_called(words: str) -> Sequence[str]:
    """The names of the acts whose words hold these, for who searches by what they read."""
    wanted = words.strip().casefold()
    return [name for name in (*ACTIONS, *OTHER_ACTS) if wanted and wanted in act(name).casefold()]
