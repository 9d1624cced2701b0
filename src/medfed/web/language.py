"""Which language and which time zone a page is written in."""

from datetime import timedelta

from flask import Response, current_app, g, has_request_context, request, session
from werkzeug.datastructures import LanguageAccept

from medfed.services.accounts import NOBODY, Identity
from medfed.services.preferences import preferences
from medfed.storage.database.engine import Away

LANGUAGES = {"zh_Hans_CN": "中文", "en": "English"}
TAGS = {"zh_Hans_CN": "zh-CN", "en": "en"}
"""How HTML names them."""
JUST_CHOSEN = "language"
"""The field of a session in which a stranger's choice waits for their log-in."""
A_YEAR = timedelta(days=365)


def choose() -> str:
    """What the person chose, else this browser, else the console's own, else what it asks for."""
    if not has_request_context():
        return "en"
    chosen = _of_account(g.get("user", NOBODY)) or request.cookies.get(cookie(), "")
    if chosen in LANGUAGES:
        return chosen
    own = preferences(current_app.extensions["medfed"].database).language
    return own or preferred(request.accept_languages)


def _of_account(who: Identity) -> str:
    """A person's in a browser; programs with tokens of theirs ask for what they want."""
    return who.language if who.session else ""


def cookie() -> str:
    """Keeps the choice of a browser, also for its log-in page."""
    prefix = "__Host-" if current_app.config["SESSION_COOKIE_SECURE"] else ""
    return f"{prefix}medfed-language"


def keep(answer: Response, chosen: str) -> None:
    """Keep a choice: with the account of who is logged in, and in the browser."""
    answer.set_cookie(
        cookie(),
        chosen,
        max_age=A_YEAR,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
    who: Identity = g.get("user", NOBODY)
    if who.known:
        keep_with(who, chosen)
    else:
        session[JUST_CHOSEN] = chosen


def keep_with(who: Identity, chosen: str) -> None:
    """Keep a choice with an account."""
    try:
        current_app.extensions["medfed"].accounts.read_in(who, chosen)
    except Away:
        return  # the browser knows it until the database is back


def preferred(accepted: LanguageAccept) -> str:
    """The best of our languages for a browser; any Chinese is better than none."""
    for tag, _quality in accepted:
        if tag.lower().startswith("zh"):
            return "zh_Hans_CN"
        if tag.lower().startswith("en"):
            return "en"
    return "en"


def time_zone() -> str:
    """Pages carry UTC; a script writes it in the browser's own zone."""
    return "UTC"
