"""The demo's second process: it draws the patients, then trains each hospital alone.

Two processes with one thread each do the demo's work on two cores faster than one process with two
threads, and far faster where the machine has other work: threads that wait for each other spin.
"""

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from medfed.connectors.phantom import Phantom, make_phantom
from medfed.connectors.phantom.writer import FORMAT
from medfed.core.errors import MedfedError, RunError
from medfed.services.demo_study import HOSPITALS, PATIENTS, SEED

HEAVY = ("torch", "monai.networks.nets", "monai.inferers", "monai.losses")
DONE = "done"


def cached_phantom() -> Path:
    """Where the patients are kept between demos: in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "medfed" / f"demo-phantom-{FORMAT}-{len(HOSPITALS)}x{PATIENTS}-{SEED}"


class Helper:
    """The second process; use it in a ``with`` statement.

    Args:
        data: The patients' folder, made if it is not there.
        out: The demo's folder.
    """

    def __init__(self, data: Path, out: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(data, out, there), daemon=True)
        self._process.start()
        there.close()  # so that the end of the process is the end of the pipe
        threading.Thread(target=_load, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()  # what it wrote is whole; a run it was at can be resumed
        self._process.join()
        self._here.close()

    def patients(self, progress: Callable[[int, int, str], None]) -> Phantom:
        """Wait for the patients.

        Raises:
            DataError: They cannot be written, or their folder holds something else.
        """
        while not isinstance(told := self._next(), Phantom):
            progress(*told)
        return told

    def finish(self, say: Callable[[str], None]) -> None:
        """Wait until each hospital has trained alone.

        Raises:
            MedfedError: A run failed.
        """
        while (told := self._next()) != DONE:
            say(told)

    def _next(self) -> Any:
        try:
            told = self._here.recv()
        except EOFError:
            message = "the demo's second process ended unexpectedly"
            raise RunError(message, remedy="Check memory and disk space, and try again") from None
        if isinstance(told, MedfedError):
            raise told
        return told


def _work(data: Path, out: Path, tell: Connection) -> None:
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):  # the parent says what happened
        try:
            made = make_phantom(
                data, HOSPITALS, PATIENTS, "small", SEED, lambda *step: tell.send(step)
            )
            tell.send(made)
            from medfed.services.demo import learn_alone  # the numerics
            from medfed.services.demo_study import demo_study

            learn_alone(demo_study(), out, data, tell.send)
            tell.send(DONE)
        except MedfedError as error:
            tell.send(error)


def _load() -> None:
    for name in HEAVY:
        with contextlib.suppress(Exception):  # whoever needs it complains in the right place
            import_module(name)
