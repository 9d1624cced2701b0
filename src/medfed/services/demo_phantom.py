"""The demo's synthetic patients: drawn in a process of their own, while this one loads torch."""

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

from medfed.connectors.phantom import Phantom, make_phantom
from medfed.connectors.phantom.writer import FORMAT
from medfed.core.errors import DataError, MedfedError
from medfed.services.demo_study import HOSPITALS, PATIENTS, SEED

Progress = Callable[[int, int, str], None]
HEAVY = ("torch", "monai.networks.nets", "monai.inferers", "monai.losses")


def cached_phantom() -> Path:
    """Where the patients are kept between demos: in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "medfed" / f"demo-phantom-{FORMAT}-{len(HOSPITALS)}x{PATIENTS}-{SEED}"


def draw_phantom(out: Path, progress: Progress | None = None) -> Phantom:
    """Make the demo's patients, or find them made.

    Args:
        out: Their folder.
        progress: Called after each patient.

    Raises:
        DataError: They cannot be written, or ``out`` holds something else.
    """
    loading = threading.Thread(target=_load, daemon=True)
    loading.start()
    try:
        return _in_child(out, progress)
    finally:
        loading.join()


def _in_child(out: Path, progress: Progress | None) -> Phantom:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_draw, args=(out, there), daemon=True)
    child.start()
    there.close()
    try:
        while True:
            told = here.recv()
            if isinstance(told, Phantom):
                return told
            if isinstance(told, MedfedError):
                raise told
            if progress is not None:
                progress(*told)
    except EOFError:
        message = "the synthetic patients could not be drawn: the process ended unexpectedly"
        raise DataError(message, remedy="Check memory and disk space, and try again") from None
    finally:
        here.close()
        child.join()


def _draw(out: Path, tell: Connection) -> None:
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):  # the parent says what happened
        try:
            done: object = make_phantom(
                out, HOSPITALS, PATIENTS, "small", SEED, lambda *step: tell.send(step)
            )
        except MedfedError as error:
            done = error
        tell.send(done)


def _load() -> None:
    for name in HEAVY:
        with contextlib.suppress(Exception):  # whoever needs it will complain in the right place
            import_module(name)
