"""Centred clipping: nobody moves the model further than the sites usually do."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medfed.aggregators.chunks import Rule, Sent, answer_once
from medfed.aggregators.distances import gather_by_distance
from medfed.aggregators.hostile import hostile_protection
from medfed.aggregators.norm_gate import NormGate
from medfed.core.aggregator import Ask, Gathered
from medfed.core.options import option
from medfed.core.update import BUFFERS, Array, Tensors, Update, grouped


@dataclass(frozen=True, slots=True)
class CentredClipping(NormGate):
    """Sites' changes, each pulled in to a distance τ from where the last rounds went.

    Karimireddy, He, Jaggi 2021, "Learning from history for Byzantine robust optimization", ICML
    (arXiv 2012.10333), algorithm 2: v ← v + 1/n Σ (xᵢ − v) min(1, τ/‖xᵢ − v‖), several times,
    beginning with the result of the round before (zero in the first). The momentum of the paper's
    workers is the local training itself.

    The paper leaves τ to be tuned. With ``radius = 0`` it is the median of the sites' distances
    from v, anew at each step: then it follows the changes as they shrink, and holds while fewer
    than half of the sites are wrong. All sites count the same.
    """

    sees_sites: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    once: ClassVar[bool] = True

    radius: float = option(
        0.0, "Distance (τ) to which far-off sites are pulled in; 0: the sites' median", low=0.0
    )
    steps: int = option(5, "How often the centre is moved in a round", low=1, high=100)

    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """As `medfed.core.aggregator.Promising` says it."""
        usual, ends = hostile_protection((min_sites - 1) // 2, min_sites)
        message = (
            "Protects the model against hostile or broken sites: each moves it by no more than the "
            "radius given; how many are borne depends on that."
        )
        return [message if self.radius else usual, ends]

    def gather(self, ask: Ask, memory: Tensors) -> Gathered:
        """Ask for the updates, and clip them around the last result."""
        found = gather_by_distance(ask, lambda products: self._rule(products, memory), memory)
        return Gathered(found.total, found.participants, _centre(found.total), found.by_site)

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Send the update as it is."""
        return answer_once(phase, work, mine)

    def _rule(self, products: Array, memory: Tensors) -> Rule:
        shares = clipped_shares(products, self.radius, self.steps)

        def combined(sent: Sent, start: int, stop: int) -> Array:
            centre = memory.get(sent.name)
            total = np.zeros(stop - start)
            if centre is not None:
                total += shares[-1] * centre.reshape(-1)[start:stop]
            for share, site, weight in zip(shares, sent.senders, sent.weights(), strict=False):
                total += share / weight * site.chunk(sent.name, start, stop)
            return total * math.fsum(sent.weights())

        return combined


def _centre(total: Update) -> dict[str, Array]:
    """Where the next round begins: this one's result, but for buffers, which are not clipped."""
    kept = {group: total.mean(group) for group in total.weights if group != BUFFERS}
    return {k: v for group, tensors in kept.items() for k, v in grouped(group, tensors).items()}


def clipped_shares(products: Array, radius: float, steps: int) -> Array:
    """What each point counts for in the result of centred clipping.

    v stays a weighted sum of the points, so its distances follow from their inner products.

    Args:
        products: Inner products of the sites' means and, last, of the centre to begin with; shape
            ``(sites + 1, sites + 1)``.
        radius: τ; 0 for the median distance.
        steps: How often the centre is moved.

    Returns:
        Shape ``(sites + 1,)``; adds up to 1.
    """
    sites = len(products) - 1
    points = np.eye(sites + 1)
    shares = points[-1]
    for _ in range(steps):
        apart = points[:sites] - shares
        square = np.einsum("ij,jk,ik->i", apart, products, apart)
        distance = np.sqrt(np.maximum(square, 0.0))
        reach = radius or float(np.median(distance))
        pull = np.minimum(1.0, reach / np.maximum(distance, np.finfo(float).tiny))
        shares = shares + np.einsum("i,ij->j", pull, apart) / sites
    return shares
