"""Which language and which time zone a page is written in."""

from flask import current_app, has_request_context, request, session
from werkzeug.datastructures import LanguageAccept

from medfed.services.preferences import preferences
from medfed.web.people import LANGUAGE

LANGUAGES = {"zh_Hans_CN": "中文", "en": "English"}
TAGS = {"zh_Hans_CN": "zh-CN", "en": "en"}
"""How HTML names them."""


def choose() -> str:
    """What the person chose, else the console's own, else what their browser asks for."""
    if not has_request_context():
        return "en"
    chosen = session.get(LANGUAGE)
    if chosen in LANGUAGES:
        return str(chosen)
    own = preferences(current_app.extensions["medfed"].database).language
    return own or preferred(request.accept_languages)


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
