"""For long-lived processes: one of a kind in a folder, and an end that cleans up."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from medfed.core.errors import RunError


@contextmanager
def alone(folder: Path, what: str, patience: float = 0.0) -> Iterator[None]:
    """Keep a second process of this kind out of a folder.

    Args:
        folder: The folder.
        what: The kind.
        patience: Seconds that another one, which may be about to end, is waited for.

    Raises:
        RunError: There is one.
    """
    handle = os.open(folder / f".{what}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    end = time.monotonic() + patience
    while not (taken := _take(handle)) and time.monotonic() < end:
        time.sleep(0.1)
    if not taken:
        os.close(handle)
        message = f"another process serves the {what} in {folder} already"
        raise RunError(message, remedy="Stop it first") from None
    try:
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


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
