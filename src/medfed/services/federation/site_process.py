"""A hospital's long-lived process: its line to the coordinator, and the worker behind it.

The line imports no numerics; the worker, a process of its own, keeps data, model and caches warm,
and is started again when it is lost.
"""

import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from medfed.core.errors import SiteError
from medfed.federation.local import WorkerChannel
from medfed.federation.wire import Sealed
from medfed.services.sites import open_site

FOREVER = 2e6
"""Seconds; the most that waiting for a pipe can be told is not much more."""
TRIES = 2
"""How often an order is given to a worker that dies of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """How a site reaches its coordinator.

    Attributes:
        folder: The site's folder.
        address: ``host:port`` of the coordinator.
        ca: The authority that its certificate is checked against.
        key: The site's key for Flower's node authentication.
        memory: Folder for what the line must remember.
        data: Folder of the site's data; what its ``site.toml`` says when None.
    """

    folder: Path
    address: str
    ca: Path
    key: Path
    memory: Path
    data: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data, for another process."""
        return {name: str(v) if v is not None else None for name, v in _fields(self).items()}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Line":
        """What `to_json` gave."""
        paths = {k: Path(v) if v is not None else None for k, v in given.items() if k != "address"}
        return cls(address=given["address"], **paths)  # type: ignore[arg-type]  # data alone may be None


def _fields(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in Line.__slots__}


def hold(line: Line, say: Callable[[str], None]) -> None:
    """Serve a site until this process is told to end.

    Raises:
        SiteError: The folder is not in order, or another process serves it.
    """
    from medfed.federation.flower.fleet import Fleet
    from medfed.federation.flower.link import Link

    site = open_site(line.folder)
    line.memory.mkdir(parents=True, exist_ok=True)
    with _alone(line.memory), _ending_on_signals():
        worker = WorkerChannel({site.name: line.folder}, partial(open_site, data=line.data), 1)
        fleet = Fleet(line.address, line.ca, line.key, line.memory / "node")
        link = Link(fleet, partial(_answer, worker, site.name), line.memory / "order", say)
        try:
            with suppress(_End):
                link.run()
        finally:
            link.stop()
            worker.close()
            link.leave()


def _answer(worker: WorkerChannel, site: str, sealed: Sealed) -> tuple[Sealed | None, float]:
    for _ in range(TRIES):
        worker.send({site: ("order", sealed)})
        for delivery in worker.replies(FOREVER):
            if delivery.reply is not None:
                return delivery.reply, delivery.seconds
    return None, 0.0


class _End(BaseException):
    """Somebody wants this process to end."""


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    def end(number: int, _: FrameType | None) -> None:
        raise _End(number)

    before = {s: signal.signal(s, end) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise SiteError(
            f"another process serves the site in {folder.parent} already",
            remedy="Stop it first; two would answer the same orders",
        ) from None
    try:
        yield
    finally:
        os.close(handle)


def main(line: str) -> None:
    """The site of a federation on one machine; see `loopback`."""
    hold(Line.from_json(json.loads(line)), lambda text: print(text, flush=True))  # noqa: T201  # its log


if __name__ == "__main__":
    main(sys.argv[1])
