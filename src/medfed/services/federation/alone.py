"""For long-lived processes: one of a kind in a folder, and an end that cleans up."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from medfed.core.errors import RunError


@contextmanager
def alone(folder: Path, what: str) -> Iterator[None]:
    """Keep a second process of this kind out of a folder.

    Raises:
        RunError: There is one.
    """
    handle = os.open(folder / f".{what}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        message = f"another process serves the {what} in {folder} already"
        raise RunError(message, remedy="Stop it first") from None
    try:
        yield
    finally:
        os.close(handle)


def is_served(folder: Path, what: str) -> bool:
    """Whether a process of this kind works in a folder."""
    try:
        with alone(folder, what):
            return False
    except RunError:
        return True
    except OSError:
        return False


class _End(BaseException):
    """Somebody wants this process to end."""


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Leave the block on SIGTERM and Ctrl-C."""

    def end(number: int, _: FrameType | None) -> None:
        raise _End(number)

    before = {s: signal.signal(s, end) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        with suppress(_End):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
