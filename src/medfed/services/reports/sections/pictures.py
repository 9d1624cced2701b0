"""The pictures that a report opens with."""

from base64 import b64encode

from medfed.services.reports.view import RunView


def section(view: RunView) -> list[dict[str, str]]:
    """Pictures inside the page."""
    return [
        {"data": b64encode(p.png).decode(), "caption": p.caption or f"Picture {i}"}
        for i, p in enumerate(view.pictures, 1)
    ]
