"""How a console is set up, by name and in the reader's language: for its page and for the API."""

import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import NamedTuple

from flask import current_app
from flask_babel import gettext as _

from medfed.core.errors import MedfedError
from medfed.federation.site_folder import SiteFolder
from medfed.services.accounts.passwords import SHORTEST
from medfed.services.console import Console
from medfed.services.console.supervisor import ATTEMPTS
from medfed.services.hospital import Hospital
from medfed.services.inference.coordinator_console import FILE as COORDINATOR
from medfed.services.inference.coordinator_console import CoordinatorConsole
from medfed.services.inference.sending import FILE as PACS
from medfed.services.inference.sending import PacsSettings
from medfed.services.preferences import preferences
from medfed.web import words
from medfed.web.filters import size
from medfed.web.settings_words import values


class Fact(NamedTuple):
    """One thing that is set.

    Attributes:
        key: Its name for programs.
        name: Its name for people.
        value: As people read it.
        how: Where it is changed; empty where nobody can.
    """

    key: str
    name: str
    value: str
    how: str = ""


class Group(NamedTuple):
    """Facts that belong together."""

    key: str
    name: str
    facts: list[Fact]


def groups(here: Console) -> Iterator[Group]:
    """What a console is made of, where it keeps things, and its limits; no secret is among them."""
    yield Group("program", _("This program"), _program(here))
    yield Group("database", _("Database"), _database(here))
    if here.coordinates:
        yield Group("runs", _("Runs"), _runs(here))
    if here.hospital:
        yield Group("hospital", _("Hospital"), _hospital(here.hospital))
    yield Group("people", _("People"), _people(here))


def _option(name: str, variable: str = "") -> str:
    """A value that stands on the command line, or in the environment."""
    if not variable:
        return str(_("set by %(option)s when the console starts", option=name))
    return str(
        _(
            "set by %(option)s or %(variable)s when the console starts",
            option=name,
            variable=variable,
        )
    )


def _in_file(name: str) -> str:
    return str(_("set in %(file)s of the hospital’s folder", file=name))


def _program(here: Console) -> list[Fact]:
    secure = bool(current_app.config["SESSION_COOKIE_SECURE"])
    url = _option("--url https://…", "MEDFED_URL")
    return [
        Fact("version", _("Version"), f"medfed {version('medfed')}", _("as installed")),
        Fact("python", "Python", platform.python_version(), _("as installed")),
        Fact("encrypted", _("Encrypted on the way"), _yes(secure), url),
        Fact("folder", _("Folder"), str(here.place.path), _option("--data", "MEDFED_CONSOLE")),
        Fact("free", _("Free space"), size(here.place.free)),
    ]


def _database(here: Console) -> list[Fact]:
    url, how = here.database.url, _option("--database", "MEDFED_DATABASE")
    return [
        Fact("kind", _("Kind"), url.get_backend_name(), how),
        Fact("where", _("Where"), url.render_as_string(hide_password=True), how),
        Fact("answers", _("Answers"), _yes(here.database.as_of is None and here.database.alive())),
    ]


def _runs(here: Console) -> list[Fact]:
    ways = str(_("; ")).join(map(words.engine, here.runs.engines()))
    lost = _("Processes that may be lost before a run is given up")
    federation = str(here.place.federation or _("none"))
    return [
        Fact("engines", _("Ways to carry a run out"), ways),
        Fact("federation", _("Federation"), federation, _option("--federation")),
        *_set(here, "runs_at_once"),
        Fact("attempts", lost, str(ATTEMPTS), _("fixed in the program")),
    ]


def _hospital(here: Hospital) -> list[Fact]:
    """Where a hospital's things are, and whom it speaks to."""
    settings = SiteFolder(here.site).settings()
    pacs, console = _address(PacsSettings, here), _address(CoordinatorConsole, here)
    least, sealed = str(settings.min_patients), settings.encrypt_with is not None
    started = _("named when the console starts")
    encrypting = _("set by %(command)s", command="medfed site encrypt")
    return [
        Fact("name", _("Name"), here.name, _in_file("site.toml")),
        Fact("site", _("Folder"), str(here.site), started),
        Fact("min_patients", _("Fewest patients for a study"), least, _in_file("site.toml")),
        Fact("sealed", _("Encrypted on the disk"), _yes(sealed), encrypting),
        Fact("pacs", _("PACS for results"), pacs, _in_file(PACS)),
        Fact("coordinator", _("Console of the coordinator"), console, _in_file(COORDINATOR)),
    ]


def _address(kind: type[PacsSettings | CoordinatorConsole], here: Hospital) -> str:
    try:
        found = kind.read(here.site)
    except MedfedError as error:
        return words.said(error.message)
    return found.address if found else str(_("none"))


def _people(here: Console) -> list[Fact]:
    shortest = _("%(count)s characters", count=SHORTEST)
    return [
        Fact("shortest_password", _("Shortest password"), shortest, _("fixed in the program")),
        *_set(here, "session_unused_minutes", "session_longest_hours", "free_failures"),
        *_set(here, "language", "notice"),
    ]


def _set(here: Console, *names: str) -> list[Fact]:
    """What administrators set on the page."""
    shown = values(preferences(here.database))
    return [Fact(name, *shown[name], _("set on this page")) for name in names]


def _yes(answer: bool) -> str:
    return str(_("yes") if answer else _("no"))
