"""One site's actor and the orders that wait for it."""

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from medfed.core.errors import DataError
from medfed.federation.channel import Delivery
from medfed.federation.local import OpenSite
from medfed.federation.ray_channel.actor import SiteActor, unpacked
from medfed.federation.ray_channel.sealing import ORDER, REPLY, End
from medfed.federation.ray_channel.shares import Share
from medfed.federation.wire import Sealed

TRIES = 3
"""How often an order is handed over before its site counts as lost: an actor may have died before
it came, and its successor while at it."""
Message = tuple[bytes, bytes, Any]
"""Header, signature, and the payload: bytes, or a reference into the object store."""


class Seat:
    """One site's actor and the orders that wait for it.

    Args:
        site: The site.
        folder: Its folder.
        open_site: Opens it.
        share: What it gets of the cluster.
        end: What seals messages, so that Ray cannot read them; None for messages as they are.
    """

    def __init__(
        self, site: str, folder: Path, open_site: OpenSite, share: Share, end: End | None = None
    ) -> None:
        self.site = site
        self.folder = folder
        self._end = end
        self._peer = b""
        self.reply: Any = None
        self._queue: deque[Task] = deque()
        self._at: Task | None = None
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

    def add(self, order: str, message: Message | Sealed) -> None:
        """Let an order wait for its turn."""
        self._queue.append(Task(order, message))

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
            seconds, *parts = ray.get(self.reply)
            reply = self._opened(parts)
        except (RayError, DataError):  # its own words may quote data
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

    def _hand_over(self, task: "Task") -> None:
        task.tries += 1
        if isinstance(task.message, Sealed):
            self.reply = self._sealed_to_actor(task.message)
        else:
            self.reply = self.actor.handle.remote(*task.message)

    def _sealed_to_actor(self, message: Sealed) -> Any:
        assert self._end is not None  # noqa: S101  # else no whole message is added
        try:
            self._peer = self._peer or bytes.fromhex(ray.get(self.actor.look.remote())["end"])
            blob = self._end.seal(message, self._peer, ORDER)
        except RayError:
            blob = None  # the actor has died: the call below fails too, and counts as a try
        return self.actor.handle_sealed.remote(blob, self._end.public)

    def _opened(self, parts: list[Any]) -> Sealed:
        if self._end is not None:
            return self._end.open(parts[0], self._peer, REPLY)
        header, signature, payload = parts
        return Sealed(header, signature, unpacked(payload))

    def _restart(self) -> None:
        self.stop()  # it may only be out of reach; two must never work in one folder
        self.actor, self._peer = self._start(), b""  # with another key


@dataclass(slots=True)
class Task:
    """An order on its way."""

    order: str
    message: Message | Sealed
    tries: int = 0
    cancelled: bool = False
