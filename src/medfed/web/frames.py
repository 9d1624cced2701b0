"""WebSocket frames made once for all pages that are told the same.

python-engineio has each connection put each message into a frame, and browsers ask for that to be
compressed, for each connection anew. For a thousand pages that are told the same five times a
second this is most of the work. Here nothing is compressed, messages being short, and a frame is
kept for all.
"""

from functools import lru_cache
from typing import Any

from flask_socketio import SocketIO
from wsproto.frame_protocol import FrameProtocol

KEPT = 64
"""Frames: the latest news, in each language, for pages that saw more and less."""


@lru_cache(maxsize=KEPT)
def frame_of(message: str) -> bytes:
    """A message as a server sends it: whole, unmasked, not compressed (RFC 6455, 5.2)."""
    return bytes(FrameProtocol(client=False, extensions=[]).send_data(message, fin=True))


def share_frames(socketio: SocketIO) -> None:
    """Have all connections of a server send the same message as the same frame."""
    engine = socketio.server.eio
    engine._async = {**engine._async, "websocket": _sharing(engine._async["websocket"])}  # noqa: SLF001  # no public way


def _sharing(plain: Any) -> type:
    class Sharing(plain):
        """A connection that compresses nothing, and frames nothing twice."""

        def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
            environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
            return super().__call__(environ, start_response)

        def send(self, message: str | bytes) -> None:
            if isinstance(message, bytes):
                super().send(message)
                return
            if not self.ws.connected:
                raise OSError("the page is gone")
            self.ws.sock.sendall(frame_of(message))

    return Sharing
