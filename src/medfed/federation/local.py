"""Sites on this machine: one after another in this process, or in worker processes."""

import multiprocessing
import multiprocessing.connection
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
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

    Messages between the processes are the sealed bytes themselves. A process has one order at a
    time, so that neither end ever writes while the other writes too: with large models both would
    wait for ever. A process that dies takes nothing with it but the order in hand: it is started
    again for the next ones.
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
        while any(worker.awaited for worker in self._workers):
            waiting = {w.connection: w for w in self._workers if w.awaited}
            left = end - time.monotonic()
            ready = multiprocessing.connection.wait(list(waiting), max(left, 0.0))
            if not ready:
                return
            for connection in ready:
                yield from waiting[connection].receive()  # type: ignore[index]

    def cancel(self, order: str) -> None:
        """Stop waiting for an order; a process that is at it finishes it all the same."""
        for worker in self._workers:
            worker.cancel(order)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.stop()


class _Worker:
    """One process and the sites that live in it."""

    def __init__(self, folders: Mapping[str, Path], open_site: OpenSite) -> None:
        self.folders = dict(folders)
        self._open_site = open_site
        self._queue: deque[tuple[str, str, Sealed]] = deque()
        self._at: tuple[str, str] | None = None
        self._cancelled = False
        self._start()

    @property
    def awaited(self) -> bool:
        """Whether a reply is still to come that somebody waits for."""
        return bool(self._queue) or (self._at is not None and not self._cancelled)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, self.folders, self._open_site)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        with _without_interrupts():  # the coordinator decides when to stop
            self._process.start()
        theirs.close()

    def send(self, site: str, order: str, sealed: Sealed) -> None:
        self._queue.append((site, order, sealed))
        self._next()

    def cancel(self, order: str) -> None:
        self._queue = deque(item for item in self._queue if item[1] != order)
        if self._at is not None and self._at[1] == order:
            self._cancelled = True

    def receive(self) -> Iterator[Delivery]:
        """The reply that is there, or word of the loss of the process."""
        reply: Sealed | None = None
        seconds = 0.0
        try:
            (*_, seconds), reply = _get(self.connection)
        except (EOFError, OSError):
            self._restart()
        at, wanted = self._at, not self._cancelled
        self._at = None
        self._next()
        if at is not None and wanted:
            yield Delivery(*at, reply, seconds)

    def _next(self) -> None:
        """Hand over the next order, to a process that lives."""
        if self._at is not None or not self._queue:
            return
        if not self._process.is_alive():
            self._restart()
        site, order, sealed = self._queue.popleft()
        self._at, self._cancelled = (site, order), False
        try:
            _put(self.connection, (site, order), sealed)
        except OSError:  # its death shows again, and is dealt with, where replies are read
            return

    def _restart(self) -> None:
        self.stop()
        self._start()

    def stop(self) -> None:
        self.connection.close()
        self._process.terminate()
        self._process.join()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process started in here never hears of Ctrl-C; this one hears of it afterwards."""
    resource_tracker.ensure_running()  # its first start would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, folders: Mapping[str, Path], open_site: OpenSite) -> None:
    """A worker process: answer orders until the coordinator's end of the pipe closes."""
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
    header, signature, payload = (connection.recv_bytes() for _ in range(3))
    return about, Sealed(header, signature, payload)
