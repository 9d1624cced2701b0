"""Sites as actors on a Ray cluster, inside one institution.

Whoever can reach a Ray cluster can run code on its machines. Hospitals therefore never share one;
between them goes Flower. A cluster that this module starts itself listens on loopback only, behind
a token of its own, and ends with the run.

What travels is the parts of a `Sealed`: header and signature as bytes, the payload as bytes or,
when it is large, in Ray's object store, where all sites of a machine read the same copy in place.
"""

import contextlib
import hashlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import ray
from ray import _raylet
from ray._private import ray_constants
from ray._private import worker as ray_worker
from ray.exceptions import RayError

from medfed.core.errors import RunError
from medfed.core.files import Buffer
from medfed.federation.channel import Delivery
from medfed.federation.local import OpenSite
from medfed.federation.wire import Sealed

log = logging.getLogger(__name__)

INLINE = 64 * 1024
"""Bytes up to which a payload travels inside the call; a larger one lies in the object store."""
TRIES = 3
"""How often an order is handed over before its site counts as lost: an actor may have died before
it came, and its successor while at it."""
START = 60.0
"""Seconds that actors have to start, and `START_EACH` more for each of them."""
START_EACH = 3.0
REACH = 5.0
"""Seconds within which a cluster's address must answer."""
LONGEST_TEMP = 24
"""Characters of the temporary folder: Ray makes sockets below it, whose names must stay short."""
GRAIN = 10_000
"""Ray counts shares in parts of this size."""
FAILURES = (RayError, OSError, RuntimeError, ValueError)
"""What Ray raises when it cannot start or join."""
Message = tuple[bytes, bytes, Any]
"""Header, signature, and the payload: bytes, or a reference into the object store."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one site gets of the cluster's machines."""

    cpus: float
    gpus: float = 0.0

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")

    def room(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """How many such shares the nodes have, each share whole on one of them."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        asked = {name: amount for name, amount in wanted.items() if amount}
        return sum(
            min(
                (int(round(node.get(name, 0.0) / amount, 6)) for name, amount in asked.items()),
                default=GRAIN,  # nothing asked for fits everywhere
            )
            for node in nodes
        )


class RayChannel:
    """Sites as Ray actors; each has one order at a time and keeps its memory in its own folder.

    An actor that dies takes nothing with it. It is started again, anywhere on the cluster, and
    gets the order in hand again: a site never does the same work twice, it sends the stored reply.
    Only an order that ends several actors is lost.

    Sites whose threads are more than their CPUs take turns: as many work at a time as the nodes
    have cores for. Numerics whose threads wait for each other's cores are several times slower.

    Args:
        folders: The sites' folders, on storage that every node of the cluster sees.
        open_site: Opens the site of a folder.
        cluster: Address of a cluster, ``HOST:PORT`` or ``auto``; None starts one here, unless this
            process is connected to one already, which is then used and left as it is.
        cpus: CPUs of each site; None for an equal part of all, but no more than ``threads``.
        gpus: GPUs of each site; None for an equal part of all where ``cuda``, else none.
        threads: Threads that a site's numerics use.
        cuda: Whether sites compute on graphics cards.

    Raises:
        RunError: The cluster cannot be reached, has no room, or sees other folders.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        open_site: OpenSite,
        *,
        cluster: str | None = None,
        cpus: float | None = None,
        gpus: float | None = None,
        threads: int = 1,
        cuda: bool = False,
    ) -> None:
        self._seats: dict[str, _Seat] = {}
        self._stack = ExitStack()
        try:
            self._stack.enter_context(_connection(cluster))
            share = _share(len(folders), cpus, gpus, threads=threads, cuda=cuda)
            for name, folder in folders.items():
                self._seats[name] = _Seat(name, folder.resolve(), open_site, share)
            self._at_once = _at_once(len(folders), share, 1 if cuda else threads)
            self._inspect(share)
        except BaseException:
            self.close()
            raise

    def sites(self) -> Sequence[str]:
        """All sites: their actors are started again when lost."""
        return tuple(self._seats)

    def send(self, orders: Mapping[str, tuple[str, Sealed]]) -> None:
        """Hand each order to its site's actor; a payload that several share is stored once."""
        stored: dict[int, Any] = {}
        for site, (order, sealed) in orders.items():
            key = id(sealed.payload)
            if key not in stored:
                packed = _packed(sealed.payload)
                stored[key] = packed if isinstance(packed, bytes) else ray.put(packed)
            self._seats[site].add(order, (sealed.header, sealed.signature, stored[key]))
        self._fill()

    def replies(self, timeout: float) -> Iterator[Delivery]:
        """Deliveries from any actor until none is outstanding or the time is up."""
        end = time.monotonic() + timeout
        while waiting := {seat.reply: seat for seat in self._seats.values() if seat.awaited}:
            left = max(end - time.monotonic(), 0.0)
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=left)
            if not ready:
                return
            delivery = waiting[ready[0]].receive()
            self._fill()  # the next site works while this reply is looked at
            if delivery is not None:
                yield delivery

    def cancel(self, order: str) -> None:
        """Stop waiting for an order; an actor that is at it finishes it all the same."""
        for seat in self._seats.values():
            seat.cancel(order)
        self._fill()

    def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        if ray.is_initialized():  # else the very question would start a cluster
            for seat in self._seats.values():
                seat.stop()
        self._seats.clear()
        self._stack.close()

    def _fill(self) -> None:
        """Let idle sites begin while there are cores for them; nobody waits for a cancelled one."""
        free = self._at_once - sum(seat.working for seat in self._seats.values())
        for seat in [seat for seat in self._seats.values() if seat.ready][: max(free, 0)]:
            seat.begin()

    def _inspect(self, share: Share) -> None:
        """Wait until all actors are there, and see that they see what this process sees."""
        looks = {seat.actor.look.remote(): seat for seat in self._seats.values()}
        patience = START + START_EACH * len(looks)
        _, late = ray.wait(list(looks), num_returns=len(looks), timeout=patience)
        if late:
            free = _amounts([_state().available_resources()])
            why = f"{len(late)} did not start, and {free} are free"
            raise _no_room(len(looks), share, why)
        for look, seat in looks.items():
            try:
                found = ray.get(look)
            except RayError as error:
                raise RunError(
                    f"the actor of site {seat.site} could not start: {_last_line(error)}",
                    remedy="Install the same medfed on every node of the cluster",
                ) from None
            _compare(seat.site, seat.folder, found)


class SiteActor:
    """A site in an actor's process; it takes and gives encoded bytes only.

    Args:
        folder: The site's folder.
        open_site: Opens it.
    """

    def __init__(self, folder: Path, open_site: OpenSite) -> None:
        # A thread that spins while it waits takes the core that another site's thread needs.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self._folder = folder
        self._open_site = open_site
        self._site: Any = None

    def look(self) -> dict[str, str]:
        """Where this is, which medfed, and whose folder it sees."""
        return {
            "node": socket.gethostname(),
            "medfed": version("medfed"),
            "key": _key(self._folder),
        }

    def handle(
        self, header: bytes, signature: bytes, payload: Any
    ) -> tuple[float, bytes, bytes, Any]:
        """Answer an order: seconds, and the parts of the reply."""
        if self._site is None:
            self._site = self._open_site(self._folder)
        start = time.perf_counter()
        reply = self._site.handle(Sealed(header, signature, _unpacked(payload)))
        seconds = time.perf_counter() - start
        return seconds, reply.header, reply.signature, _packed(reply.payload)


class _Seat:
    """One site's actor and the orders that wait for it."""

    def __init__(self, site: str, folder: Path, open_site: OpenSite, share: Share) -> None:
        self.site = site
        self.folder = folder
        self.reply: Any = None
        self._queue: deque[_Task] = deque()
        self._at: _Task | None = None
        kind: Any = ray.remote(SiteActor)
        kind = kind.options(num_cpus=share.cpus, num_gpus=share.gpus)
        self._start: Callable[[], Any] = lambda: kind.remote(folder, open_site)
        self.actor: Any = self._start()

    @property
    def working(self) -> bool:
        """Whether an order is in hand that somebody waits for."""
        return self._at is not None and not self._at.cancelled

    @property
    def ready(self) -> bool:
        """Whether it could begin an order."""
        return self._at is None and bool(self._queue)

    @property
    def awaited(self) -> bool:
        """Whether what it has in hand must come back before something that somebody waits for."""
        return self._at is not None and (bool(self._queue) or not self._at.cancelled)

    def add(self, order: str, message: Message) -> None:
        """Let an order wait for its turn."""
        self._queue.append(_Task(order, message))

    def begin(self) -> None:
        """Hand over the next order."""
        self._at = self._queue.popleft()
        self._hand_over(self._at)

    def cancel(self, order: str) -> None:
        """Forget an order that waits; of one in hand, only the reply."""
        self._queue = deque(task for task in self._queue if task.order != order)
        if self._at is not None and self._at.order == order:
            self._at.cancelled = True

    def receive(self) -> Delivery | None:
        """The reply that is there, or word of its loss; None while nobody has to know."""
        task, seconds, reply = self._at, 0.0, None
        if task is None:
            return None
        try:
            seconds, header, signature, payload = ray.get(self.reply)
            reply = Sealed(header, signature, _unpacked(payload))
        except RayError:  # its own words may quote data
            self._restart()
            if task.tries < TRIES and not task.cancelled:
                self._hand_over(task)
                return None
        self._at = self.reply = None
        return None if task.cancelled else Delivery(self.site, task.order, reply, seconds)

    def stop(self) -> None:
        """End the actor; what it was writing is whole or absent."""
        with contextlib.suppress(RayError):
            ray.kill(self.actor)

    def _hand_over(self, task: "_Task") -> None:
        task.tries += 1
        self.reply = self.actor.handle.remote(*task.message)

    def _restart(self) -> None:
        self.stop()  # it may only be out of reach; two must never work in one folder
        self.actor = self._start()


@dataclass(slots=True)
class _Task:
    """An order on its way."""

    order: str
    message: Message
    tries: int = 0
    cancelled: bool = False


# --- what travels ---------------------------------------------------------------------------------


def _packed(payload: Buffer) -> Any:
    """A payload as Ray carries it best: large ones as an array, which is read in place."""
    if len(payload) <= INLINE:
        return bytes(payload)
    return np.frombuffer(payload, np.uint8)


def _unpacked(payload: Any) -> Buffer:
    return payload if isinstance(payload, bytes) else memoryview(payload)


# --- the cluster ----------------------------------------------------------------------------------


@contextmanager
def _connection(cluster: str | None) -> Iterator[None]:
    """Connected to a cluster; everything is as before afterwards."""
    if ray.is_initialized():  # the caller's own, theirs to end
        yield
        return
    joined = _started() if cluster is None else _joined(cluster)
    with _own_signals() as take, _silence():
        take()  # starting takes seconds too
        with joined:
            take()
            yield


@contextmanager
def _started() -> Iterator[None]:
    """A cluster on this machine, for as long as it lasts."""
    with _behind_a_token(), _short_folder() as temp:
        try:
            _init(address="local", include_dashboard=False, _temp_dir=temp)
        except FAILURES as error:
            message = f"Ray does not start on this machine: {_last_line(error)}"
            remedy = "Run without it (--engine local) to the very same model"
            raise RunError(message, remedy=remedy) from error
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _joined(cluster: str) -> Iterator[None]:
    """Joined to somebody's cluster."""
    _reach(cluster)
    try:
        _init(address=cluster)
    except FAILURES as error:
        raise RunError(
            f"the Ray cluster at {cluster} does not let us in: {_last_line(error)}",
            remedy="Start medfed on one of its nodes, with its versions of Python and Ray and with "
            "its token if it asks for one; then go on with --resume",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _silence() -> Iterator[None]:
    """Ray prints a paragraph about each lost actor on standard output, where results belong."""
    inside: Any = ray_worker
    before = inside.print_to_stdstream
    inside.print_to_stdstream = lambda data, **_: log.debug("ray: %s", data)
    try:
        yield
    finally:
        inside.print_to_stdstream = before


def _init(**options: Any) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tips about future versions, files it leaves open
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except BaseException:
        ray.shutdown()  # whatever had been started
        raise


def _reach(cluster: str) -> None:
    """Complain at once about an address where nobody is: Ray itself would wait for a minute."""
    if cluster == "auto":
        return
    host, _, port = cluster.rpartition(":")
    if "://" in cluster or not host or not port.isdigit():
        raise RunError(
            f"{cluster!r} is not a cluster's address",
            remedy="Give HOST:PORT as `ray start --head` prints it, or auto on a node of a cluster",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    except (OSError, OverflowError) as error:
        raise RunError(
            f"there is no Ray cluster at {cluster}: {error}",
            remedy="Start one with `ray start --head`, or mend --cluster; then go on with --resume",
        ) from None


@contextmanager
def _behind_a_token() -> Iterator[None]:
    """A cluster started in here is reached from this machine only, and by nobody else on it.

    Ray on Linux listens on every interface, and asks nobody who they are. It has a switch for the
    one (made for desktop systems) and a token for the other, and reads both once per process.
    """
    before, names = dict(os.environ), ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    open_to_all = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ.pop("RAY_AUTH_TOKEN_PATH", None)
    os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})
    _read_settings_again()
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = open_to_all
        for name in names:
            os.environ.pop(name, None)
        os.environ.update({name: before[name] for name in names if name in before})
        _read_settings_again()


def _read_settings_again() -> None:
    inside: Any = _raylet  # Ray's own tests do it so; its version is pinned exactly
    inside.AuthenticationTokenLoader.instance().reset_cache()
    inside.Config.initialize("")


@contextmanager
def _short_folder() -> Iterator[str]:
    """A temporary folder whose name leaves room for the names of Ray's sockets."""
    usual = tempfile.gettempdir()
    place = usual if len(usual) <= LONGEST_TEMP else "/tmp"  # noqa: S108  # mkdtemp makes it ours
    folder = tempfile.mkdtemp(prefix="mf-", dir=place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own_signals() -> Iterator[Callable[[], None]]:
    """Ray puts loud handlers of its own on SIGTERM: call the result to end in order instead."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.getsignal(signal.SIGTERM)
    plain = before in (signal.SIG_DFL, None)

    def take() -> None:
        signal.signal(signal.SIGTERM, _leave if plain else before)

    try:
        yield take
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if plain else before)


def _leave(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


# --- shares ---------------------------------------------------------------------------------------


def _share(
    sites: int, cpus: float | None, gpus: float | None, *, threads: int, cuda: bool
) -> Share:
    """What each site gets, checked against what the cluster has."""
    nodes = _nodes()
    if cpus is None:
        cpus = _equal_part(nodes, "CPU", sites, threads)
    if gpus is None:
        gpus = _equal_part(nodes, "GPU", sites, 1) if cuda else 0.0
    for amount in (cpus, gpus):
        if amount < 0 or (amount > 1 and amount != int(amount)):
            message = f"{amount:g} is not a share that Ray can give"
            raise RunError(message, remedy="Give a part of one, such as 0.5, or a whole number")
    share = Share(cpus, gpus)
    if share.room(nodes) < sites:
        raise _no_room(sites, share, f"it has {_amounts(nodes)} in {len(nodes)} node(s)")
    return share


def _at_once(sites: int, share: Share, threads: int) -> int:
    """How many sites work at a time without more threads than cores."""
    return sites if share.cpus >= threads else max(Share(threads).room(_nodes()), 1)


def _state() -> Any:
    """Ray's questions about the cluster, which it leaves untyped."""
    return ray


def _nodes() -> list[Mapping[str, float]]:
    return [node["Resources"] for node in _state().nodes() if node["Alive"]]


def _equal_part(nodes: Sequence[Mapping[str, float]], what: str, sites: int, most: float) -> float:
    """The largest share, up to ``most``, of which there is one for every site.

    Whole units, or a part of one: graphics cards are given out in no other way.
    """
    for share in range(int(most), 0, -1):
        if sum(int(node.get(what, 0.0) // share) for node in nodes) >= sites:
            return float(share)
    per_unit = -(-sites // max(int(sum(int(node.get(what, 0.0)) for node in nodes)), 1))
    return (GRAIN // per_unit) / GRAIN


def _amounts(nodes: Sequence[Mapping[str, float]]) -> str:
    return " and ".join(f"{sum(n.get(w, 0.0) for n in nodes):g} {w}" for w in ("CPU", "GPU"))


def _no_room(sites: int, share: Share, why: str) -> RunError:
    return RunError(
        f"the cluster has no room for {sites} sites with {share} each: {why}",
        remedy="Give less with --cpus and --gpus, add nodes, or wait until others have finished",
    )


# --- what actors see ------------------------------------------------------------------------------


def _key(folder: Path) -> str:
    """What tells a site's folder from another of the same name."""
    try:
        return hashlib.sha256((folder / "key.pub").read_bytes()).hexdigest()
    except OSError:
        return ""


def _compare(site: str, folder: Path, found: Mapping[str, str]) -> None:
    if found["medfed"] != version("medfed"):
        raise RunError(
            f"node {found['node']} has medfed {found['medfed']}, here it is {version('medfed')}",
            remedy="Install the same medfed on every node of the cluster",
        )
    if found["key"] != _key(folder):
        raise RunError(
            f"site {site}'s actor on node {found['node']} does not see the folder {folder}",
            remedy="Put the run's folder (--out) or the sites' (--sites) on storage that all nodes "
            "see under the same path",
        )


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
