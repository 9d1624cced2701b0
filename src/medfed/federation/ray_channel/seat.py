"""One site's actor and the orders that wait for it."""

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from medfed.federation.channel import Delivery
from medfed.federation.local import OpenSite
from medfed.federation.ray_channel.actor import SiteActor, unpacked
from medfed.federation.ray_channel.shares import Share
from medfed.federation.wire import Sealed

TRIES = 3
"""How often an order is handed over before its site counts as lost: an actor may have died before
it came, and its successor while at it."""
Message = tuple[bytes, bytes, Any]
"""Header, signature, and the payload: bytes, or a reference into the object store."""


class Seat:
    """One site's actor and the orders that wait for it."""

    def __init__(self, site: str, folder: Path, open_site: OpenSite, share: Share) -> None:
        self.site = site
        self.folder = folder
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

    def add(self, order: str, message: Message) -> None:
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
            seconds, header, signature, payload = ray.get(self.reply)
            reply = Sealed(header, signature, unpacked(payload))
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

    def _hand_over(self, task: "Task") -> None:
        task.tries += 1
        self.reply = self.actor.handle.remote(*task.message)

    def _restart(self) -> None:
        self.stop()  # it may only be out of reach; two must never work in one folder
        self.actor = self._start()


@dataclass(slots=True)
class Task:
    """An order on its way."""

    order: str
    message: Message
    tries: int = 0
    cancelled: bool = False
