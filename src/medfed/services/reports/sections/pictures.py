"""The pictures that a report opens with."""

from base64 import b64encode

from medfed.services.reports.speech import Speech
from medfed.services.reports.view import Picture, RunView


def section(view: RunView) -> list[dict[str, str]]:
    """Pictures inside the page."""
    return [
        {"data": b64encode(p.png).decode(), "caption": _caption(view.say, p, i)}
        for i, p in enumerate(view.pictures, 1)
    ]


def _caption(say: Speech, picture: Picture, number: int) -> str:
    return say.again(picture.caption) or say("Picture {number}", number=number)
