"""Sites on this machine: one after another in this process, or in worker processes."""

import multiprocessing
import multiprocessing.connection
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from medfed.federation.channel import Delivery
from medfed.federation.site import Site
from medfed.federation.wire import Sealed

OpenSite = Callable[[Path], Site]
"""Opens the site of a folder; a module-level function, so that worker processes find it."""


class LocalChannel:
    """Sites in this process, one after another, each with a clock of its own."""

    def __init__(self, folders: Mapping[str, Path], open_site: OpenSite) -> None:
        self._sites = {name: open_site(path) for name, path in folders.items()}
        self._queue: deque[tuple[str, str, Sealed]] = deque()

    def sites(self) -> Sequence[str]:
        """All sites: they live here."""
        return tuple(self._sites)

    def send(self, orders: Mapping[str, tuple[str, Sealed]]) -> None:
        """Put orders in the queue."""
        self._queue.extend((site, order, sealed) for site, (order, sealed) in orders.items())

    def replies(self, timeout: float) -> Iterator[Delivery]:
        """Work through the queue; the deadline is the asker's to judge by each one's seconds."""
        del timeout
        while self._queue:
            site, order, sealed = self._queue.popleft()
            start = time.perf_counter()
            reply = self._sites[site].handle(sealed)
            yield Delivery(site, order, reply, time.perf_counter() - start)

    def cancel(self, order: str) -> None:
        """Take an order out of the queue."""
        self._queue = deque(item for item in self._queue if item[1] != order)

    def close(self) -> None:
        """Nothing to let go of."""
        self._queue.clear()


class WorkerChannel:
    """Sites in N processes of this machine; each site keeps to one process.

    Messages between the processes are the sealed bytes themselves. A process that dies takes
    nothing with it but the orders in hand: it is started again for the next ones.
    """

    def __init__(self, folders: Mapping[str, Path], open_site: OpenSite, workers: int) -> None:
        names = list(folders)
        self._workers = [
            _Worker({name: folders[name] for name in names[i::workers]}, open_site)
            for i in range(min(workers, len(names)))
        ]
        self._home = {name: worker for worker in self._workers for name in worker.folders}

    def sites(self) -> Sequence[str]:
        """All sites: their processes are restarted when lost."""
        return tuple(self._home)

    def send(self, orders: Mapping[str, tuple[str, Sealed]]) -> None:
        """Hand each order to its site's process."""
        for site, (order, sealed) in orders.items():
            self._home[site].send(site, order, sealed)

    def replies(self, timeout: float) -> Iterator[Delivery]:
        """Deliveries from any process until none is outstanding or the time is up."""
        end = time.monotonic() + timeout
        while waiting := {w.connection: w for w in self._workers if w.pending}:
            left = end - time.monotonic()
            ready = multiprocessing.connection.wait(list(waiting), max(left, 0.0))
            if not ready:
                return
            for connection in ready:
                yield from waiting[connection].receive()  # type: ignore[index]

    def cancel(self, order: str) -> None:
        """Stop waiting for an order; its process finishes it all the same."""
        for worker in self._workers:
            worker.pending.pop(order, None)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.stop()


class _Worker:
    """One process and the sites that live in it."""

    def __init__(self, folders: Mapping[str, Path], open_site: OpenSite) -> None:
        self.folders = dict(folders)
        self.pending: dict[str, str] = {}
        self._open_site = open_site
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, self.folders, self._open_site)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def send(self, site: str, order: str, sealed: Sealed) -> None:
        self.pending[order] = site
        try:
            _put(self.connection, (site, order), sealed)
        except OSError:  # its death shows again, and is dealt with, where replies are read
            return

    def receive(self) -> Iterator[Delivery]:
        try:
            (site, order, seconds), reply = _get(self.connection)
        except (EOFError, OSError):
            yield from self._lost()
            return
        if self.pending.pop(order, None) is not None:
            yield Delivery(site, order, reply, seconds)

    def _lost(self) -> Iterator[Delivery]:
        lost, self.pending = self.pending, {}
        self.stop()
        self._start()
        for order, site in lost.items():
            yield Delivery(site, order, None, 0.0)

    def stop(self) -> None:
        self.connection.close()
        self._process.terminate()
        self._process.join()


def _serve(connection: Connection, folders: Mapping[str, Path], open_site: OpenSite) -> None:
    """A worker process: answer orders until the coordinator's end of the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides when to stop
    sites: dict[str, Site] = {}
    while True:
        try:
            (name, order), sealed = _get(connection)
        except (EOFError, OSError):
            return
        if name not in sites:
            sites[name] = open_site(folders[name])
        start = time.perf_counter()
        reply = sites[name].handle(sealed)
        _put(connection, (name, order, time.perf_counter() - start), reply)


def _put(connection: Connection, about: tuple[Any, ...], sealed: Sealed) -> None:
    connection.send(about)
    for part in (sealed.header, sealed.signature, sealed.payload):
        connection.send_bytes(part)


def _get(connection: Connection) -> tuple[tuple[Any, ...], Sealed]:
    about = connection.recv()
    return about, Sealed(*(connection.recv_bytes() for _ in range(3)))
