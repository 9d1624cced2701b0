"""How updates become one: the coordinator's half and the site's half of one conversation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

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


class Ask(Protocol):
    """Sends one phase to the participants, with something for each, perhaps.

    Phases that a site can answer one by one, in any order, may go out at once: it works on one
    while its reply to another is on the way.
    """

    def __call__(self, phase: str, each: Mapping[str, Update], *together: str) -> Sequence[Spooled]:
        """Ask, and wait.

        Args:
            phase: The phase.
            each: What goes to each site.
            together: Phases that go out with it, with the same for each.

        Returns:
            The replies that passed every check, in site order; a site's to several phases are in
            the order of these, and are there all or not at all.
        """


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a conversation gave.

    Attributes:
        total: The updates as one.
        participants: Whose updates are in it, in the order of summing.
        memory: What the aggregator carries to the next round.
        by_site: Each site's statistics, where the aggregator sees sites.
        notes: What a person should know of how it was combined, as plain data.
        changes: How each site's change lies to the total, where anybody may know.
    """

    total: Update
    participants: tuple[str, ...]
    memory: Tensors = field(default_factory=dict)
    by_site: Mapping[str, Stats] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class Seat:
    """A site's place in a conversation in which the sites must know one another.

    Attributes:
        site: Who sits there.
        sites: The study's sites, in order.
        peers: The raw Ed25519 public keys that are pinned at this site, of the study's sites only.
        sign: Signs with this site's own key.
        session: Hash of all that one conversation is about: run, study, round, purpose, body
            and, in its first phase, what was sent to all.
        least: With fewer sites than this, the approved study or this site's own rules allow no sum.
        drawer: Kept between the phases in this process's memory only, and lost with it.
        summed: For each question that is asked, over which sites it was answered already; empty
            when it was not.
        record: Keeps that, durably, before an answer leaves.
    """

    site: str
    sites: tuple[str, ...]
    peers: Mapping[str, bytes]
    sign: Callable[[bytes], bytes]
    session: bytes
    least: int
    drawer: dict[str, Any]
    summed: Callable[[], Sequence[str]]
    record: Callable[[str], None]


class Answering(Protocol):
    """The site's half of a conversation."""

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """See `Aggregator.answer`."""


@runtime_checkable
class Promising(Protocol):
    """An aggregator that protects somebody from somebody."""

    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """Against whom it protects, against whom not, and what it costs: sentences.

        Args:
            sites: Of the study.
            min_sites: That the study wants in every round.
        """


@runtime_checkable
class Seated(Promising, Protocol):
    """An aggregator whose site's half needs a seat: its secrets never come from arguments.

    Its answers may not be made again after a crash: what was in the drawer is gone, and the
    conversation with it. The coordinator begins another.
    """

    def seated(self, seat: Seat) -> Answering:
        """The aggregator at a seat."""

    def said(self, phase: str) -> str:
        """What the site's answer in a phase holds, in words for its receipt."""


@runtime_checkable
class Standing(Protocol):
    """An aggregator whose rounds of training may go on from one another."""

    def gather_on(self, ask: Ask, sites: Sequence[str], drawer: dict[str, Any]) -> Gathered:
        """As `Aggregator.gather`, with what was agreed in the round before.

        Args:
            ask: Sends one phase to the participants.
            sites: The participants.
            drawer: Kept between the rounds in this process's memory only: a coordinator that is
                started again finds it empty.
        """


class Compression(Protocol):
    """Smaller updates: packed at the site, unpacked chunk by chunk at the coordinator."""

    sparse: ClassVar[bool]
    """Whether it leaves elements out, which a rule that ranks sites would take for zeros."""

    def pack(self, update: Update, mine: Tensors) -> tuple[Update, Tensors]:
        """The packed update, and the site's memory (error feedback)."""
