"""How a console is set up, by name and in the reader's language: for its page and for the API."""

import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import NamedTuple

from flask import current_app
from flask_babel import gettext as _

from medfed.services.accounts.login import IDLE, LONGEST_SESSION
from medfed.services.accounts.passwords import SHORTEST
from medfed.services.console import Console
from medfed.services.console.supervisor import AT_ONCE, ATTEMPTS
from medfed.web import words
from medfed.web.filters import size


class Fact(NamedTuple):
    """One thing that is set.

    Attributes:
        key: Its name for programs.
        name: Its name for people.
        value: As people read it.
    """

    key: str
    name: str
    value: str


class Group(NamedTuple):
    """Facts that belong together."""

    key: str
    name: str
    facts: list[Fact]


def groups(here: Console) -> Iterator[Group]:
    """What a console is made of, where it keeps things, and its limits; no secret is among them."""
    url = here.database.url
    secure = bool(current_app.config["SESSION_COOKIE_SECURE"])
    yield Group(
        "program",
        _("This program"),
        [
            Fact("version", _("Version"), f"medfed {version('medfed')}"),
            Fact("python", "Python", platform.python_version()),
            Fact("encrypted", _("Encrypted on the way"), _yes(secure)),
            Fact("folder", _("Folder"), str(here.place.path)),
            Fact("free", _("Free space"), size(here.place.free)),
        ],
    )
    yield Group(
        "database",
        _("Database"),
        [
            Fact("kind", _("Kind"), url.get_backend_name()),
            Fact("where", _("Where"), url.render_as_string(hide_password=True)),
            Fact("answers", _("Answers"), _yes(here.database.alive())),
        ],
    )
    yield Group("runs", _("Runs"), _runs(here))
    yield Group("people", _("People"), _people())


def _runs(here: Console) -> list[Fact]:
    ways = "; ".join(map(words.engine, here.runs.engines()))
    lost = _("Processes that may be lost before a run is given up")
    return [
        Fact("engines", _("Ways to carry a run out"), ways),
        Fact("federation", _("Federation"), str(here.place.federation or _("none"))),
        Fact("at_once", _("Runs at once"), str(AT_ONCE)),
        Fact("attempts", lost, str(ATTEMPTS)),
    ]


def _people() -> list[Fact]:
    hours = str(_("%(hours)s hours", hours="{:g}"))
    idle, longest = (each.total_seconds() / 3600 for each in (IDLE, LONGEST_SESSION))
    shortest = _("%(count)s characters", count=SHORTEST)
    return [
        Fact("shortest_password", _("Shortest password"), shortest),
        Fact("session_unused", _("A session ends unused after"), hours.format(idle)),
        Fact("session_longest", _("A session ends anyway after"), hours.format(longest)),
    ]


def _yes(answer: bool) -> str:
    return str(_("yes") if answer else _("no"))
