"""The engine below the plain aggregators: many spooled updates become one, chunk by chunk.

A chunk of every site is combined before the next one is touched. The spooled files are mapped and
not loaded, so memory is one model (the total) and a few chunks, whatever the number of sites.
Every element is combined by itself and in the order of the sites: the chunk size, the packing and
the order of tensors in the files cannot change a bit of the result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medfed.core.aggregator import Ask, Gathered, Spooled
from medfed.core.errors import Refused, RunError, WireError
from medfed.core.update import Array, Tensors, Update, add_stats

PHASE = "update"
"""The only phase of a conversation in which sites simply send their updates."""

CHUNK = 1 << 17
"""Elements combined at a time. Measured: up to 2^16 the start of each stretch of a file is felt,
from 2^20 on the float64 sums fall out of the last cache; in between it is quicker by a third."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One tensor as several sites sent it.

    Attributes:
        name: ``group/name``.
        senders: The sites that sent it, in site order; at least one.
        shape: The shape that all of them sent.
        dtype: The type that holds all of theirs, float32 or wider if floating.
    """

    name: str
    senders: tuple[Spooled, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def floating(self) -> bool:
        """Whether it holds floating numbers, and not whole ones."""
        return self.dtype.kind == "f"

    def weights(self) -> tuple[float, ...]:
        """The weight that each sender gave to the tensor's group."""
        group = self.name.partition("/")[0]
        return tuple(float(s.weights()[group]) for s in self.senders)


Rule = Callable[[Sent, int, int], Array]
"""Combines flat elements ``start:stop`` of one tensor into ``(stop - start,)``, in float64 (or
int64 for whole numbers), each element by itself."""


def combine(spooled: Sequence[Spooled], rule: Rule, chunk: int = CHUNK) -> Update:
    """Make one update of many.

    Args:
        spooled: The sites' replies, in site order.
        rule: How one tensor's elements are combined.
        chunk: How many elements at a time; changes the speed, never the result.

    Returns:
        The combined tensors, by sorted name; weights and statistics added.

    Raises:
        WireError: Two sites sent the same tensor in different shapes.
        RunError: A result does not fit into its type.
    """
    weights = add_stats(
        {name: np.asarray(w, np.float64) for name, w in s.weights().items()} for s in spooled
    )
    return Update(
        tensors={sent.name: _combined(sent, rule, chunk) for sent in _by_tensor(spooled)},
        weights={name: float(weight) for name, weight in weights.items()},
        stats=add_stats(s.stats() for s in spooled),
    )


def gather_once(ask: Ask, rule: Rule, *, side_by_side: bool = False) -> Gathered:
    """The coordinator's half of the shortest conversation: ask once, combine what came.

    Args:
        ask: Sends one phase and gives the replies.
        rule: How one tensor's elements are combined.
        side_by_side: Whether the rule holds the chunks of all sites at once: they are smaller then.
    """
    spooled = ask(PHASE, {})
    chunk = max(CHUNK // max(len(spooled), 1), 256) if side_by_side else CHUNK
    return Gathered(
        total=combine(spooled, rule, chunk),
        participants=tuple(s.site for s in spooled),
        by_site={s.site: s.stats() for s in spooled},
    )


def answer_once(phase: str, work: Callable[[], Update], mine: Tensors) -> tuple[Update, Tensors]:
    """The site's half of the shortest conversation: work, and send the update as it is.

    Raises:
        Refused: The coordinator speaks of a phase that this conversation does not have.
    """
    if phase != PHASE:
        raise Refused("malformed-order", "the order names a phase that its aggregator lacks")
    return work(), mine


def _by_tensor(spooled: Sequence[Spooled]) -> list[Sent]:
    senders: dict[str, list[Spooled]] = {}
    for site in spooled:
        for name in site.names():
            senders.setdefault(name, []).append(site)
    return [_sent(name, tuple(senders[name])) for name in sorted(senders)]


def _sent(name: str, senders: tuple[Spooled, ...]) -> Sent:
    shapes = {s.shape(name) for s in senders}
    if len(shapes) > 1:
        raise WireError(f"sites sent the tensor {name!r} in different shapes")
    kinds = (s.chunk(name, 0, 0).dtype for s in senders)
    return Sent(name, senders, shapes.pop(), np.result_type(*kinds))


def _combined(sent: Sent, rule: Rule, chunk: int) -> Array:
    dtype = sent.dtype if sent.floating else rule(sent, 0, 0).dtype
    total = np.empty(sent.shape, dtype)
    flat = total.reshape(-1)
    try:
        with np.errstate(over="raise"):
            for start in range(0, flat.size, chunk):
                stop = min(start + chunk, flat.size)
                flat[start:stop] = rule(sent, start, stop)
    except FloatingPointError as error:
        remedy = "Look for a site whose norm stands out, or clip updates"
        raise RunError(f"the total of {sent.name!r} is too large", remedy=remedy) from error
    return total
