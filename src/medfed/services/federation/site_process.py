"""A hospital's long-lived process: its line to the coordinator, and the worker behind it.

The line imports no numerics; the worker, a process of its own, keeps data, model and caches warm,
and is started again when it is lost.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medfed.core.errors import SiteError
from medfed.core.own_process import own_process
from medfed.federation.enrolment.address import Address
from medfed.federation.enrolment.certificates import CA
from medfed.federation.enrolment.node_key import NODE_KEY
from medfed.federation.local import WorkerChannel
from medfed.federation.settings.site import SiteFile, read_site
from medfed.federation.wire import Sealed
from medfed.services.federation.alone import alone, ending_on_signals
from medfed.services.federation.companion import companion
from medfed.services.sites import open_site

FOREVER = 2e6
"""Seconds; the most that waiting for a pipe can be told is not much more."""
ENDING = 20.0
"""Seconds in which the process before this one, whose run was killed, has ended."""
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
    with alone(line.memory, "site", ENDING), ending_on_signals():
        worker = WorkerChannel({site.name: line.folder}, partial(open_site, data=line.data), 1)
        fleet = Fleet(line.address, line.ca, line.key, line.memory / "node")
        answer = partial(_answer, worker, site.name)
        link = Link(fleet, answer, line.memory / "order", say, site.folder.vault)
        try:
            link.run()
        finally:
            link.stop()
            worker.close()
            link.leave()


def serve_site(file: Path, overrides: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Serve a site that has joined, until this process is told to end.

    Raises:
        SiteError: It has not joined, or its folder is not in order.
    """
    settings = read_site(file, {k: v for k, v in overrides.items() if v is not None})
    if settings.coordinator is None or not (settings.folder / NODE_KEY).exists():
        message = f"site {settings.id} has not joined a federation"
        raise SiteError(message, remedy="Join with the code you were sent: medfed site join CODE")
    if settings.proxy:
        os.environ["HTTPS_PROXY"] = settings.proxy
    line = Line(
        folder=settings.folder,
        address=Address.parse(settings.coordinator).netloc,
        ca=settings.folder / CA,
        key=settings.folder / NODE_KEY,
        memory=settings.folder / "line",
        data=settings.data,
    )
    say(f"site {settings.id}, for the coordinator at {settings.coordinator}")
    with console_beside(settings):
        hold(line, say)


def console_beside(settings: SiteFile) -> AbstractContextManager[None]:
    """The hospital's console beside the worker, where the file asks for one."""
    if not settings.port:
        return nullcontext()
    url = ["--url", settings.console_url] if settings.console_url else []
    where = ["--host", settings.host, "--port", str(settings.port)]
    command = [*own_process(), "site", "serve", *where]
    return companion([*command, *url, str(settings.folder)])


def _answer(worker: WorkerChannel, site: str, sealed: Sealed) -> tuple[Sealed | None, float]:
    for _ in range(TRIES):
        worker.send({site: ("order", sealed)})
        for delivery in worker.replies(FOREVER):
            if delivery.reply is not None:
                return delivery.reply, delivery.seconds
    return None, 0.0


def main(line: str) -> None:
    """The site of a federation on one machine; see `loopback`."""
    hold(Line.from_json(json.loads(line)), lambda text: print(text, flush=True))  # noqa: T201  # its log


if __name__ == "__main__":
    main(sys.argv[1])
