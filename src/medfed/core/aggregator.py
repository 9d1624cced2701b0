"""How updates become one: the coordinator's half and the site's half of one conversation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from medfed.core.update import Array, Stats, Tensors, Update


class Spooled(Protocol):
    """One site's reply as it lies in the spool, read piece by piece."""

    site: str

    def names(self) -> Sequence[str]:
        """Names of its tensors, ``group/name``."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one tensor."""

    def chunk(self, name: str, start: int, stop: int) -> Array:
        """Flat elements ``start:stop`` of one tensor, decompressed, float32 or wider."""

    def weights(self) -> Mapping[str, float]:
        """The weight of each tensor group."""

    def stats(self) -> Tensors:
        """Its additive statistics."""


Ask = Callable[[str, Mapping[str, Update]], Sequence[Spooled]]
"""Send one phase to the participants (with something for each, perhaps) and get the replies
that passed every check, in site order."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a conversation gave.

    Attributes:
        total: The updates as one.
        participants: Whose updates are in it, in the order of summing.
        memory: What the aggregator carries to the next round.
        by_site: Each site's statistics, where the aggregator sees sites.
    """

    total: Update
    participants: tuple[str, ...]
    memory: Tensors = field(default_factory=dict)
    by_site: Mapping[str, Stats] = field(default_factory=dict)


class Aggregator(Protocol):
    """A rule by which updates become one."""

    sees_sites: ClassVar[bool]
    """False where the coordinator cannot read a single site's update."""
    linear: ClassVar[bool]
    """Whether the total is the plain sum: what SCAFFOLD, FedSGD and queries count on."""
    once: ClassVar[bool]
    """Whether one exchange is the whole conversation: an asynchronous run has no time for more."""

    def gather(self, ask: Ask, memory: Tensors) -> Gathered:
        """At the coordinator: hold the conversation and combine."""

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """At the site: answer one phase; ``work`` trains at most once and gives the update.

        In a later phase of a round ``mine`` is what the phase before gave back. The answer to an
        order must depend on its arguments only: after a crash it may be made again.
        """


class Compression(Protocol):
    """Smaller updates: packed at the site, unpacked chunk by chunk at the coordinator."""

    sparse: ClassVar[bool]
    """Whether it leaves elements out, which a rule that ranks sites would take for zeros."""

    def pack(self, update: Update, mine: Tensors) -> tuple[Update, Tensors]:
        """The packed update, and the site's memory (error feedback)."""
