"""Serves the coordinator's applications: waitress on loopback, in a thread of its process."""

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from flask import Flask
from waitress.server import create_server

LOOPBACK = "127.0.0.1"


class LoopbackServer:
    """Serves an application until closed; use it with ``with``.

    Args:
        app: The application; its ``MAX_CONTENT_LENGTH`` bounds what is read of a request.
        port: The port on loopback; 0 for any free one.
    """

    def __init__(self, app: Flask, port: int = 0) -> None:
        self._server = create_server(
            app,
            host=LOOPBACK,
            port=port,
            threads=4,
            connection_limit=100,
            channel_timeout=30,
            max_request_body_size=app.config["MAX_CONTENT_LENGTH"],
            ident=None,  # no version in the answers
        )
        self.port = int(self._server.effective_port)
        self._thread = threading.Thread(target=self._server.run, name="loopback", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and end the thread."""
        self._server.task_dispatcher.shutdown()
        # The loop ends when no socket is left; only its own thread may close them.
        with suppress(OSError):  # the loop has ended by itself
            self._server.trigger.pull_trigger(self._close_sockets)
        self._thread.join(10)

    def _close_sockets(self) -> None:
        for one in list(self._server._map.values()):  # noqa: SLF001  # open connections too
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
