"""The only transport seam: orders go out, deliveries come back as they arrive."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from medfed.federation.wire import Sealed


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came back from a site: a sealed reply, or word that none will come.

    Attributes:
        site: Whom the channel got it from; the reply's own signature must agree.
        order: Id of the order it answers, as the channel knows it.
        reply: The sealed reply, or None when the channel lost the site.
        seconds: From the order's start at the site to its reply.
    """

    site: str
    order: str
    reply: Sealed | None
    seconds: float


class Channel(Protocol):
    """Carries sealed messages between the coordinator and the sites."""

    def sites(self) -> Sequence[str]:
        """Sites that can be reached now."""

    def send(self, orders: Mapping[str, tuple[str, Sealed]]) -> None:
        """Send orders: for each site, the order's id and the sealed order."""

    def replies(self, timeout: float) -> Iterator[Delivery]:
        """Deliveries as they arrive; ends when none is outstanding or the time is up.

        Meanwhile an order may be sent again under its id: its reply comes like the others.
        """

    def cancel(self, order: str) -> None:
        """Stop waiting for an order; a reply that comes all the same is dropped or late."""

    def close(self) -> None:
        """Let go of processes and connections."""
