"""The geometric median: the model nearest to all sites' models, found by sums alone.

Pillutla, Kakade and Harchaoui 2022, "Robust aggregation for federated learning", IEEE Transactions
on Signal Processing 70 (arXiv 1912.13445), algorithm 2: the smoothed Weiszfeld iteration. The
coordinator sends its estimate v; site i answers with its model w_i weighted by
``α_i / max(ν, ‖v − w_i‖)``; the next estimate is the weighted mean. So a far-off site counts for
little: each step is a plain weighted sum. Where the coordinator sees the replies it does not take a
site's word for its nearness, see `medfed.aggregators.nearness`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medfed.aggregators.chunks import PHASE, answer_once, combine, gather_once
from medfed.aggregators.hostile import hostile_protection
from medfed.aggregators.mean import adder
from medfed.aggregators.nearness import checked
from medfed.aggregators.norm_gate import NormGate
from medfed.core.aggregator import Ask, Gathered, Spooled
from medfed.core.errors import Refused
from medfed.core.options import option
from medfed.core.packing import unpack
from medfed.core.update import Array, Stats, Tensors, Update, add_stats, group, grouped

NEARER = "nearer"
"""The phases after the first: the estimate so far goes out, a weighted model comes back."""


@dataclass(frozen=True, slots=True)
class GeometricMedian(NormGate):
    """The geometric median of the sites' models (Pillutla et al. 2022), in several exchanges.

    Holds while fewer than half of the weight lies with wrong sites; weights are the sites' own
    (patients), as in the mean. Every exchange carries the model there and back once more.
    """

    sees_sites: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    once: ClassVar[bool] = False

    exchanges: int = option(
        4, help="Weighted sums asked for in a round; the first is the plain mean", low=2, high=32
    )
    smoothing: float = option(
        1e-6, help="Distance below which a site counts no more than at it (ν)", above=0
    )

    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """As `medfed.core.aggregator.Promising` says it."""
        _, ends = hostile_protection(0, min_sites)
        message = (
            "Protects the model somewhat against hostile or broken sites while they claim well "
            "below a third of all patients; it takes their word for how many they have."
        )
        return [message, ends]

    def gather(self, ask: Ask, memory: Tensors) -> Gathered:
        """Ask for the updates, then again and again for those nearer to the estimate."""
        patients: dict[str, dict[str, float]] = {}

        def asked(phase: str, each: Mapping[str, Update], *together: str) -> Sequence[Spooled]:
            spooled = ask(phase, each, *together)
            patients.update({s.site: dict(s.weights()) for s in spooled})
            return spooled

        first = gather_once(asked, adder())
        if not first.total.tensors:
            return first  # scores alone: sums, of which there is no median
        total, who = first.total, first.participants
        for step in range(1, self.exchanges):
            estimate = Update(_means(total))
            replies = ask(f"{NEARER}-{step}", dict.fromkeys(who, estimate))
            spooled = checked(replies, estimate.tensors, patients, self.smoothing)
            total, who = combine(spooled, adder()), tuple(s.site for s in spooled)
        by_site = {site: first.by_site[site] for site in who}
        return Gathered(_as_sum(total, first.total.weights, by_site), who, by_site=by_site)

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Send the update as it is; later, weighted by its nearness to the estimate that came."""
        if phase == PHASE:
            update, _ = answer_once(phase, work, mine)
            return update, _kept(update)
        if phase.partition("-")[0] != NEARER or not mine:
            raise Refused("malformed-order", "the order names a phase that its aggregator lacks")
        own = Update(group("update", mine), {k: float(v) for k, v in group("weight", mine).items()})
        return self._weighed(_means(own), received.tensors, own.weights), mine

    def _weighed(self, own: Tensors, estimate: Tensors, weights: Mapping[str, float]) -> Update:
        if own.keys() != estimate.keys():
            raise Refused("malformed-order", "the estimate has other tensors than the update")
        nearness = 1.0 / max(self.smoothing, _distance(own, estimate))
        new = {name: weight * nearness for name, weight in weights.items()}
        return Update({k: v * np.asarray(new[_group(k)], v.dtype) for k, v in own.items()}, new)


def _means(update: Update) -> dict[str, Array]:
    """Every tensor divided by its group's weight, under its full name."""
    found: dict[str, Array] = {}
    for name in update.weights:
        found |= grouped(name, update.mean(name))
    return found


def _kept(update: Update) -> dict[str, Array]:
    """What a site remembers of its update until the round is over."""
    weights = {name: np.asarray(weight) for name, weight in update.weights.items()}
    return {**grouped("update", unpack(update.tensors)), **grouped("weight", weights)}


def _distance(one: Tensors, other: Tensors) -> float:
    """The Euclidean distance of two models, all tensors taken as one vector."""
    differences = (np.subtract(one[k], other[k], dtype=np.float64).reshape(-1) for k in one)
    return math.sqrt(sum(float(np.dot(d, d)) for d in differences))


def _as_sum(total: Update, weights: Mapping[str, float], by_site: Mapping[str, Stats]) -> Update:
    """The median times the weight that the sites gave, so that `Update.mean` is the median."""
    tensors = {k: v * np.asarray(weights[_group(k)], v.dtype) for k, v in _means(total).items()}
    return Update(tensors, dict(weights), add_stats(by_site.values()))


def _group(name: str) -> str:
    return name.partition("/")[0]
