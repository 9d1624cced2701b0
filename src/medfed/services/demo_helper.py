"""The demo's other processes: one draws the patients and imports them, one learns alone and judges.

The numerics stay out of the process that serves the pages, and behind it in turn.
Two processes with one thread each do the demo's work on two cores faster than one process with two
threads, and far faster where the machine has other work: threads that wait for each other spin.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from medfed.connectors.phantom import Phantom, make_phantom
from medfed.connectors.phantom.writer import FORMAT
from medfed.core.errors import MedfedError, RunError
from medfed.services.demo_study import HOSPITALS, PATIENTS, SEED, demo_study

HEAVY = ("torch", "monai.networks.nets", "monai.inferers", "monai.losses")
GO = "go"
NICE = 10
"""As the console's runs: pages come first."""


def cached_phantom() -> Path:
    """Where the patients are kept between demos: in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "medfed" / f"demo-phantom-{FORMAT}-{len(HOSPITALS)}x{PATIENTS}-{SEED}"


class Helper:
    """The processes beside this one; use it in a ``with`` statement.

    Args:
        data: The patients' folder, made if it is not there.
        out: The demo's folder.
    """

    def __init__(self, data: Path, out: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        self._drawing = self._begin(context, _draw, data)
        self._learning = self._begin(context, _learn, data, out)

    def _begin(self, context: SpawnContext, work: Callable[..., None], *about: Path) -> Connection:
        here, there = context.Pipe()
        process = context.Process(target=work, args=(*about, there), daemon=True)
        process.start()
        there.close()  # so that the end of the process is the end of the pipe
        self._processes.append(process)
        return here

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.terminate()  # what it wrote is whole; a run it was at can be resumed
            process.join()
        self._drawing.close()
        self._learning.close()

    def patients(self, progress: Callable[[int, int, str], None]) -> Phantom:
        """Wait for the patients; then the hospitals begin to learn alone.

        Raises:
            DataError: They cannot be written, or their folder holds something else.
        """
        while not isinstance(told := _next(self._drawing), Phantom):
            progress(*told)
        self._learning.send(GO)
        return told

    def take_in(self, hospitals: Sequence[tuple[Path, Path]]) -> None:
        """Begin to bring hospitals' patients into their catalogues, one by one; after `patients`.

        Args:
            hospitals: Of each the own folder, and the folder of its console, where small pictures
                of its patients lie.
        """
        self._drawing.send(list(hospitals))

    def taken_in(self) -> int:
        """Wait until those of the next hospital are there.

        Returns:
            How many scans are new.

        Raises:
            MedfedError: They cannot be imported.
        """
        return int(_next(self._drawing))

    def judge(self, run: Path, say: Callable[[str], None]) -> dict[str, Any]:
        """Once each hospital has trained alone, compare a finished run with that.

        Returns:
            The summary, see `medfed.services.demo.judge`.

        Raises:
            MedfedError: A run failed, or files cannot be read.
        """
        self._learning.send(run)
        while not isinstance(told := _next(self._learning), dict):
            say(told)
        return told


def _next(pipe: Connection) -> Any:
    try:
        told = pipe.recv()
    except EOFError:
        message = "one of the demo's processes ended unexpectedly"
        raise RunError(message, remedy="Check memory and disk space, and try again") from None
    if isinstance(told, MedfedError):
        raise told
    return told


def _draw(data: Path, pipe: Connection) -> None:
    with _telling(pipe):
        made = make_phantom(data, HOSPITALS, PATIENTS, "small", SEED, lambda *step: pipe.send(step))
        pipe.send(made)
        for site, console in pipe.recv():
            pipe.send(take_in(data, site, console))


def take_in(data: Path, site: Path, console: Path) -> int:
    """Bring a hospital's patients into its catalogue, with small pictures of them.

    Args:
        data: The patients of all hospitals.
        site: The hospital's own folder, called like it.
        console: The folder of its console.

    Returns:
        How many scans are new.

    Raises:
        MedfedError: They cannot be imported.
    """
    from medfed.services.imports import import_scans, list_scans  # pydicom and more
    from medfed.services.viewing.preparing import prepare

    new = len(import_scans(site, data / site.name).imported)
    folder, scans = list_scans(site)
    for one in scans:
        prepare(console, folder / one.patient / one.scan, one.scan, whole=False)
    return new


def _learn(data: Path, out: Path, pipe: Connection) -> None:
    with _telling(pipe):
        _load()
        from medfed.services.demo import judge, learn_alone  # the numerics

        pipe.recv()
        learn_alone(demo_study(), out, data, pipe.send)
        pipe.send(judge(demo_study(), pipe.recv(), out, data, pipe.send))


@contextlib.contextmanager
def _telling(pipe: Connection) -> Iterator[None]:
    """Failures go to the first process, which says what happened."""
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError, EOFError):
        os.nice(NICE)
        try:
            yield
        except MedfedError as error:
            pipe.send(error)


def _load() -> None:
    for name in HEAVY:
        with contextlib.suppress(Exception):  # whoever needs it complains in the right place
            import_module(name)
