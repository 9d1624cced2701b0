"""The channel: orders to actors, as many at work as there are cores for, and their replies."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from medfed.core.errors import RunError
from medfed.federation.channel import Delivery
from medfed.federation.local import OpenSite
from medfed.federation.ray_channel.actor import compare, packed
from medfed.federation.ray_channel.cluster import connection, last_line
from medfed.federation.ray_channel.sealing import End
from medfed.federation.ray_channel.seat import Seat
from medfed.federation.ray_channel.shares import Share, amounts, at_once, no_room, share_of, state
from medfed.federation.wire import Sealed

START = 60.0
"""Seconds that actors have to start, and `START_EACH` more for each of them."""
START_EACH = 3.0


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
        sealed: Whether messages are sealed before Ray has them, which may move them to a disk.

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
        sealed: bool = False,
    ) -> None:
        self._seats: dict[str, Seat] = {}
        self._end = End() if sealed else None
        self._stack = ExitStack()
        try:
            self._stack.enter_context(connection(cluster))
            share = share_of(len(folders), cpus, gpus, threads=threads, cuda=cuda)
            for name, folder in folders.items():
                self._seats[name] = Seat(name, folder.resolve(), open_site, share, self._end)
            self._at_once = at_once(len(folders), share, 1 if cuda else threads)
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
            if self._end is not None:  # sealed for its actor, when that is free
                self._seats[site].add(order, sealed)
                continue
            key = id(sealed.payload)
            if key not in stored:
                payload = packed(sealed.payload)
                stored[key] = payload if isinstance(payload, bytes) else ray.put(payload)
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
            free = amounts([state().available_resources()])
            why = f"{len(late)} did not start, and {free} are free"
            raise no_room(len(looks), share, why)
        for look, seat in looks.items():
            try:
                found = ray.get(look)
            except RayError as error:
                raise RunError(
                    f"the actor of site {seat.site} could not start: {last_line(error)}",
                    remedy="Install the same medfed on every node of the cluster",
                ) from None
            compare(seat.site, seat.folder, found)
