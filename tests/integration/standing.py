"""A federation over Flower that stands while tests kill parts of it: true SuperLink, true sites.

The processes and folders are those of `medfed run --engine flower`; only their start and end are
the test's, so that several runs share one federation.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Self

from medfed.core.events import ReplyCounted, RoundStarted
from medfed.federation.enrolment.address import Address
from medfed.federation.flower.channel import FlowerChannel
from medfed.federation.flower.superlink import SuperLink, Tls
from medfed.federation.keys import make_key
from medfed.federation.site_folder import SiteFolder
from medfed.services.federation import loopback
from medfed.services.federation.attached import told_of
from medfed.services.sites import create_site, open_site, trust

SITES = ("north", "south")


def await_(what, seconds=60.0, complaint="it did not happen"):
    """Wait until something is so; a busy machine may take its time."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, complaint
        time.sleep(0.02)
    return found


class Standing:
    """SuperLink and sites in a folder.

    Args:
        path: The folder.
        sites: Names of the sites.
    """

    def __init__(self, path: Path, sites=SITES) -> None:
        self.home, self.place = path / "hospitals", path / "flower"
        (self.home / "coordinator").mkdir(parents=True)
        key = make_key(self.home / "coordinator")
        for name in sites:
            create_site(self.home / name, name, None)
            trust(self.home / name, key.public_key())
        address = Address(loopback.HOST, loopback.free_port())
        tls = Tls(*loopback.make_certificates(self.place, address))
        self.link = SuperLink(self.place, address.port, tls)
        self.relay = Relay(address.port)
        self.lines = dict.fromkeys(sites)

    def __enter__(self) -> Self:
        try:
            self.link.start()
            for name in self.lines:
                self.start_site(name)
            self.await_online()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *about) -> None:
        for line in filter(None, self.lines.values()):
            line.stop()
        self.link.stop()
        self.relay.close()

    def start_site(self, name: str) -> None:
        """Start a site's process; it reaches the SuperLink through the relay."""
        at = replace(self.link.at, address=f"localhost:{self.relay.port}")
        self.lines[name] = loopback._start_site(at, name, self.home / name, self.place)

    def await_online(self, *names) -> None:
        awaited = {name: self.lines[name] for name in names or self.lines}
        loopback._await_all(self.link.at, awaited)

    def kill_site(self, name: str) -> None:
        """Kill line and worker, as a power cut would."""
        self.lines[name].kill()

    def kill_worker(self, name: str) -> None:
        """Kill the process that computes, and leave the line."""
        (worker,) = [
            pid for pid in family(self.lines[name]._process.pid) if b"spawn_main" in command(pid)
        ]
        os.kill(worker, signal.SIGKILL)

    def has_order(self, name: str) -> bool:
        """Whether a site has an order in hand."""
        return (self.place / "sites" / name / "order").exists()

    def said(self, name: str) -> str:
        """What a site's line printed."""
        return (self.place / "sites" / name / "log").read_text()

    def approve(self, study) -> None:
        for name in self.lines:
            open_site(self.home / name).folder.approve(study)

    def receipts(self, name: str, run: str) -> list:
        return list(SiteFolder(self.home / name).receipts(run))

    def open(self, folders, place, on_event, *, in_memory=False):
        """In the place of `open_loopback`."""
        place.mkdir(exist_ok=True)
        return FlowerChannel(self.link.at, tuple(folders), place / "run", *told_of(on_event))


class Relay:
    """TCP between sites and SuperLink, which can be cut: connections drop, new ones fail."""

    def __init__(self, backend: int) -> None:
        self._backend = backend
        self._open: set[socket.socket] = set()
        self._listen(0)

    def _listen(self, port: int) -> None:
        self._server = socket.create_server(("127.0.0.1", port))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            try:
                inside = socket.create_connection(("127.0.0.1", self._backend), 30)
            except OSError:
                client.close()
                continue
            self._open |= {client, inside}
            for one, other in ((client, inside), (inside, client)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            self._open.discard(end)
            _close(end)

    def cut(self) -> None:
        """Drop all connections, refuse new ones."""
        _close(self._server)
        for end in list(self._open):
            _close(end)

    def mend(self) -> None:
        """Let connections through again, at the same port."""
        self._listen(self.port)

    close = cut


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


class Watch:
    """A run's listener that keeps events and causes trouble at a moment, in a thread of its own.

    Args:
        at: The round in which, once its orders go out, trouble comes; 0 is that of the facts.
        trouble: What it is.
    """

    def __init__(self, trouble=lambda: None, at: int = 2) -> None:
        self.events: list = []
        self._at, self._trouble = at, trouble
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None

    def __call__(self, event) -> None:
        self.events.append(event)
        purpose = "train" if self._at else "query"
        begins = isinstance(event, RoundStarted) and (event.round, event.purpose) == (
            self._at,
            purpose,
        )
        if begins and self._thread is None:
            self._thread = threading.Thread(target=self._cause, daemon=True)
            self._thread.start()

    def _cause(self) -> None:
        try:
            self._trouble()
        except BaseException as error:  # noqa: BLE001  # shown in the test's own thread
            self.failure = error

    def end(self) -> None:
        """See that the trouble came, as it was meant."""
        assert self._thread, "the round was never begun"
        self._thread.join(60)
        if self.failure:
            raise self.failure

    def said(self) -> str:
        return " | ".join(getattr(event, "message", "") for event in self.events)

    def missing(self) -> list:
        found = [e for e in self.events if type(e).__name__ == "SiteMissing"]
        return [(e.round, e.site, e.reason) for e in found]

    def counted_twice(self) -> list:
        """Replies that were counted more than once in one exchange."""
        twice, counted = [], set()
        for event in self.events:
            if isinstance(event, RoundStarted):
                counted = set()
            elif isinstance(event, ReplyCounted):
                if event.site in counted:
                    twice.append(event)
                counted.add(event.site)
        return twice


# --- what the system knows of processes -----------------------------------------------------------


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def family(pid: int) -> list[int]:
    """All processes that come from one, children's children too."""
    try:
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for child in map(int, own) for each in (child, *family(child))]


def mentioning(place: Path) -> list[int]:
    """Processes whose command names a folder."""
    wanted = str(place).encode()
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in numbers if pid != os.getpid() and wanted in command(pid)]
