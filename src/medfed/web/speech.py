"""How pages that services make speak to the reader."""

from datetime import datetime

from flask import Response
from flask_babel import format_datetime
from flask_babel import get_translations as translations

from medfed.services.reports.speech import Speech
from medfed.web import inference_words, words
from medfed.web.language import TAGS, choose
from medfed.web.security import ALONE


def speech(language: str = "") -> Speech:
    """In the language of who asks, while the request lasts; or in one that is forced meanwhile."""
    return Speech(TAGS[language or choose()], translations(), _again, _moment)


def _again(text: str) -> str:
    """What another layer said, with its full stop or without."""
    return inference_words.notice(text) if text in inference_words.NOTICES else words.said(text)


def _moment(text: str) -> str:
    try:
        return f"{format_datetime(datetime.fromisoformat(text), 'medium')} UTC"
    except ValueError:
        return text


def spoken(body: bytes, kind: str, say: Speech) -> Response:
    """A page or picture made in a language, which can do nothing where it is opened."""
    answer = Response(body, mimetype=kind)
    answer.headers["Content-Language"] = say.language
    answer.headers["Content-Security-Policy"] = ALONE
    return answer
