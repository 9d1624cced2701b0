"""A process of its own for decoders written in C and C++.

Damaged pixels bring GDCM down with the process that called it: a scan must not be able to do this
to a site. So frames go to a child over its standard input, values come back over its output, and a
child that dies, hangs or asks for too much memory is a damaged frame, no more.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from medfed.connectors.dicom.planes import Layout
from medfed.connectors.scans.problems import ScanError
from medfed.core.own_process import own_process

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD = struct.Struct("<II")
"""Of a request: bytes of the layout, bytes of the frame."""

ANSWER = struct.Struct("<8sI")
"""Of an answer: the type of the values, or ``error``; and bytes."""

MOST_MEMORY = 6 * 1024**3
LONGEST_FRAME_S = 60.0
IDLE_S = 60.0


class _GoneError(Exception):
    """A child ended before it answered."""


class Decoders:
    """As many children as threads ask at once; one takes a second to start, and stays a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._idle: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        """End the children."""
        while child := self._warm():
            _end(child)

    def decode(self, frame: bytes, layout: Layout) -> NDArray[Any]:
        """One frame.

        Args:
            frame: the compressed stream.
            layout: what the header says of it.

        Returns:
            Shape ``(rows, columns)``.

        Raises:
            ScanError: it cannot be decoded, or what came out is no such frame.
        """
        if child := self._warm():
            # It may have ended since, of itself: a fresh one tells whether the frame is to blame.
            with suppress(_GoneError):
                return self._ask(child, frame, layout)
        try:
            return self._ask(_start(), frame, layout)
        except _GoneError as error:
            raise ScanError("bad-pixels") from error

    def _warm(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._owner != os.getpid():
                # A fork: these children, and their pipes, are the parent's.
                self._owner, self._idle = os.getpid(), []
            return self._idle.pop() if self._idle else None

    def _ask(self, child: subprocess.Popen[bytes], frame: bytes, layout: Layout) -> NDArray[Any]:
        try:
            values = _asked(child, frame, layout)
        except (OSError, EOFError, struct.error) as error:
            _end(child)
            raise _GoneError from error
        except BaseException:
            _end(child)
            raise
        with self._lock:
            self._idle.append(child)
        if values is None:
            raise ScanError("bad-pixels")
        return values


DECODERS = Decoders()
"""Those of this process."""

atexit.register(DECODERS.close)


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        own_process("medfed.connectors.dicom.decoder"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what decoders complain of is told by our own error
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    for pipe in (child.stdin, child.stdout):
        if pipe:
            with suppress(OSError):  # what was not yet written to a dead child
                pipe.close()
    child.wait()


def _asked(child: subprocess.Popen[bytes], frame: bytes, layout: Layout) -> NDArray[Any] | None:
    assert child.stdin is not None  # noqa: S101 - both are pipes
    assert child.stdout is not None  # noqa: S101
    too_long = threading.Timer(LONGEST_FRAME_S, child.kill)
    too_long.daemon = True
    too_long.start()
    try:
        words = json.dumps(asdict(layout)).encode()
        child.stdin.write(HEAD.pack(len(words), len(frame)) + words)
        child.stdin.write(frame)
        child.stdin.flush()
        kind, size = ANSWER.unpack(_exactly(child.stdout, ANSWER.size))
        data = _exactly(child.stdout, size)
    finally:
        too_long.cancel()
    dtype = kind.rstrip(b"\0").decode()
    if dtype == "error":
        return None
    return np.frombuffer(data, np.dtype(dtype)).reshape(layout.rows, layout.columns)


def _exactly(file: BinaryIO | Any, count: int) -> bytes:
    data: bytes = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def main() -> None:
    """Answer requests until the parent goes, or has none for a while."""
    limit_memory()
    # Decoders may print: the pipe is kept from them.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while select.select([0], [], [], IDLE_S)[0]:
        head = sys.stdin.buffer.read(HEAD.size)
        if len(head) < HEAD.size:
            return
        words, size = HEAD.unpack(head)
        layout = Layout(**json.loads(sys.stdin.buffer.read(words)))
        frame = sys.stdin.buffer.read(size)
        kind, data = _answer(frame, layout)
        answers.write(ANSWER.pack(kind, len(data)))
        answers.write(data)
        answers.flush()


def _answer(frame: bytes, layout: Layout) -> tuple[bytes, bytes]:
    from medfed.connectors.dicom.codecs import decoded_here

    try:
        values = decoded_here(frame, layout)
    except Exception:  # noqa: BLE001 - these bytes come from anywhere
        return b"error", b""
    return values.dtype.str.encode(), values.tobytes()


def limit_memory() -> None:
    """Keep this process from taking the machine's memory, where the system can do so."""
    import resource

    with suppress(ValueError, OSError):  # macOS knows the limit and refuses it
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
