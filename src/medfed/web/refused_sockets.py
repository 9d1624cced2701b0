"""Live connections that the Socket.IO library refuses by itself: another site's page asks."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from medfed.services.console import Console
from medfed.web.people import denied, identify

CONNECT = "live.connect"
PATH = "/socket.io/"


def note_refused(app: Flask, console: Console) -> None:
    """Record them: no view and no event of ours ever sees such a request."""
    inner = app.wsgi_app

    def noting(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        def begun(status: str, *more: Any) -> Callable[[bytes], object]:
            if status.startswith("4"):
                with app.request_context(environ):
                    who = identify(console)
                    denied(console, who, CONNECT, "", "it came from no page of this console")
            begin: Callable[[bytes], object] = start_response(status, *more)
            return begin

        live = environ.get("PATH_INFO", "").startswith(PATH)
        answer: Iterable[bytes] = inner(environ, begun if live else start_response)
        return answer

    app.wsgi_app = noting  # type: ignore[method-assign]  # as Flask's documentation has it
