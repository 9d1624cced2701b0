"""How this console is set up, for those who look after it."""

import platform
from collections.abc import Iterator
from importlib.metadata import version

from flask import Blueprint, current_app, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from medfed.services.accounts.login import IDLE, LONGEST_SESSION
from medfed.services.accounts.passwords import SHORTEST
from medfed.services.console.supervisor import AT_ONCE, ATTEMPTS
from medfed.web import words
from medfed.web.filters import size
from medfed.web.rules import console, needs

blueprint = Blueprint("settings", __name__, url_prefix="/settings")


@blueprint.get("/")
@needs("settings.read")
def index() -> ResponseReturnValue:
    """What it is made of, where it keeps things, and its limits."""
    return render_template("settings.html", groups=list(_groups()))


def _groups() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    here = console()
    url = here.database.url
    hours = str(_("%(hours)s hours", hours="{:g}"))
    idle, longest = (each.total_seconds() / 3600 for each in (IDLE, LONGEST_SESSION))
    yield (
        _("This program"),
        [
            (_("Version"), f"medfed {version('medfed')}, Python {platform.python_version()}"),
            (_("Encrypted on the way"), _yes(bool(current_app.config["SESSION_COOKIE_SECURE"]))),
            (_("Folder"), str(here.place.path)),
            (_("Free space"), size(here.place.free)),
        ],
    )
    yield (
        _("Database"),
        [
            (_("Kind"), url.get_backend_name()),
            (_("Where"), url.render_as_string(hide_password=True)),
            (_("Answers"), _yes(here.database.alive())),
        ],
    )
    yield (
        _("Runs"),
        [
            (_("Ways to carry a run out"), "; ".join(map(words.engine, here.runs.engines()))),
            (_("Federation"), str(here.place.federation or _("none"))),
            (_("Runs at once"), str(AT_ONCE)),
            (_("Processes that may be lost before a run is given up"), str(ATTEMPTS)),
        ],
    )
    yield (
        _("People"),
        [
            (_("Shortest password"), _("%(count)s characters", count=SHORTEST)),
            (_("A session ends unused after"), hours.format(idle)),
            (
                _("A session ends anyway after"),
                hours.format(longest),
            ),
        ],
    )


def _yes(answer: bool) -> str:
    return str(_("yes") if answer else _("no"))
