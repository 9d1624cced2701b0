"""The built-in server, and people who do not stay."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from queue import Queue

import pytest
from accounting import FAST
from consoles import serving

from medfed.web.server import Server

SECONDS = 20.0
BODY = b"all there is"


@pytest.fixture
def server(tmp_path, sqlite_url) -> Server:
    return Server(tmp_path / "console", sqlite_url, bcrypt_rounds=FAST)


def asked(port: int) -> socket.socket:
    """Somebody who has asked for a page and waits."""
    somebody = socket.create_connection(("127.0.0.1", port), SECONDS)
    somebody.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    return somebody


def gone(somebody: socket.socket) -> None:
    """They reset the connection, as a browser does that leaves a page."""
    somebody.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    somebody.close()


class Answer:
    """Some bytes; something happens once the last of them is sent."""

    def __init__(self, then: Callable[[], None]) -> None:
        self.then, self.closed = then, threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        yield BODY
        self.then()

    def close(self) -> None:
        self.closed.set()


def answered_with(server: Server, answer: Answer) -> None:
    """The server has this answer for everybody."""

    def page(environ, start_response):
        # As a file has it: without a length a last write would take note of the reset first.
        start_response("200 OK", [("Content-Length", str(len(BODY)))])
        return answer

    server.app.wsgi_app = page


def test_an_answer_is_closed_though_its_reader_is_gone(server):
    people: Queue[socket.socket] = Queue()
    answer = Answer(lambda: gone(people.get()))
    answered_with(server, answer)
    with serving(server):
        people.put(asked(server.port))
        assert answer.closed.wait(SECONDS)


def test_an_answer_is_closed_that_was_read(server):
    answer = Answer(lambda: None)
    answered_with(server, answer)
    with serving(server), asked(server.port) as reader, reader.makefile("rb") as received:
        assert received.read().endswith(BODY)
        assert answer.closed.wait(SECONDS)
