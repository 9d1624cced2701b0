"""A process beside this one: begun with it, begun again when it is lost, ended with it."""

import logging
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
LIVED_SECONDS = 60.0
"""A process that lived so long did not end of how it was begun."""
ENDING_SECONDS = 10.0


@contextmanager
def companion(command: Sequence[str]) -> Iterator[None]:
    """Keep a process alive while the block lasts; what it prints is printed.

    Args:
        command: The program and its arguments.
    """
    over = threading.Event()
    thread = threading.Thread(target=_keep, args=(command, over), name="companion", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _keep(command: Sequence[str], over: threading.Event) -> None:
    pause = FIRST_PAUSE
    while not over.is_set():
        # Ctrl-C at the terminal is for this process, which ends the other in order.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        if _lives(process, over):
            pause = FIRST_PAUSE
        if over.is_set():
            _end(process)
            return
        log.warning("%s ended (status %s)", command[-1], process.returncode)
        over.wait(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _lives(process: "subprocess.Popen[bytes]", over: threading.Event) -> bool:
    """Wait until it ends, or is to end; whether it lived long."""
    waited = 0.0
    while process.poll() is None and not over.wait(0.2):
        waited += 0.2
    return waited >= LIVED_SECONDS


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
