"""What can be set on the page of settings, in words."""

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from medfed.services.preferences import Preferences
from medfed.web.language import LANGUAGES

NAMES = {
    "language": _l("Language of who has not chosen one"),
    "notice": _l("What every page says above all else"),
    "session_unused_minutes": _l("A session ends unused after"),
    "session_longest_hours": _l("A session ends anyway after"),
    "free_failures": _l("Wrong passwords before a name is locked"),
    "runs_at_once": _l("Runs at once"),
}


def languages() -> dict[str, str]:
    """What can be chosen for who has not chosen."""
    return {"": str(_("as their browser asks")), **LANGUAGES}


def values(found: Preferences) -> dict[str, tuple[str, str]]:
    """The name and the value of each, as people read them."""
    shown = {
        "language": languages()[found.language],
        "notice": found.notice or str(_("nothing")),
        "session_unused_minutes": str(_("%(count)s minutes", count=found.session_unused_minutes)),
        "session_longest_hours": str(_("%(hours)s hours", hours=found.session_longest_hours)),
        "free_failures": str(found.free_failures),
        "runs_at_once": str(found.runs_at_once),
    }
    return {name: (str(NAMES[name]), value) for name, value in shown.items()}
