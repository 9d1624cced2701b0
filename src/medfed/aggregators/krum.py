"""Multi-Krum: the mean of the sites that lie closest to most others."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medfed.aggregators.chunks import Rule, Sent, answer_once
from medfed.aggregators.distances import enough, gather_by_distance, squared_distances
from medfed.aggregators.hostile import hostile_protection
from medfed.aggregators.norm_gate import NormGate
from medfed.core.aggregator import Ask, Gathered
from medfed.core.options import option
from medfed.core.update import Array, Tensors, Update


@dataclass(frozen=True, slots=True)
class MultiKrum(NormGate):
    """The mean of the sites that lie closest to their neighbours; the others do not count.

    Blanchard, El Mhamdi, Guerraoui, Stainer 2017, "Machine learning with adversaries: Byzantine
    tolerant gradient descent", NeurIPS (arXiv 1703.02757), section 4. A site's score is the sum of
    its squared distances to the n − f − 2 nearest others; the m sites with the least scores are
    averaged. Needs n ≥ 2f + 3. The paper's proof is for m = 1 (Krum); ``keep = 0`` takes n − f.

    A hospital whose patients differ from all others' looks wrong to this rule, and is left out.
    All sites count the same.
    """

    sees_sites: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    once: ClassVar[bool] = True

    wrong: int = option(1, "Sites that may be wrong (f)", low=1, high=1000)
    keep: int = option(0, "Sites that are averaged (m); 0: all but the wrong ones", low=0)

    @property
    def least_sites(self) -> int:
        """Replies that a round needs for the rule to hold."""
        return max(2 * self.wrong + 3, self.keep)

    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """As `medfed.core.aggregator.Promising` says it."""
        return hostile_protection(self.wrong, max(min_sites, self.least_sites))

    def gather(self, ask: Ask, memory: Tensors) -> Gathered:
        """Ask for the updates, score the sites, average the best."""
        return gather_by_distance(ask, self._rule)

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Send the update as it is."""
        return answer_once(phase, work, mine)

    def _rule(self, products: Array) -> Rule:
        enough("multi-krum", len(products), self.least_sites)
        best = chosen(products, self.wrong, self.keep or len(products) - self.wrong)

        def mean(sent: Sent, start: int, stop: int) -> Array:
            weights = sent.weights()
            total = np.zeros(stop - start)
            for i in best:
                total += sent.senders[i].chunk(sent.name, start, stop) / np.float64(weights[i])
            return total * (math.fsum(weights) / len(best))

        return mean


def chosen(products: Array, wrong: int, keep: int) -> list[int]:
    """The places of the sites that multi-Krum averages, rising.

    Args:
        products: Inner products of the sites' means, shape ``(sites, sites)``.
        wrong: f.
        keep: m.
    """
    sites = len(products)
    nearest = np.sort(squared_distances(products), axis=1)[:, 1 : sites - wrong - 1]
    scores = nearest.sum(axis=1)  # the first column is the distance from itself
    return sorted(np.argsort(scores, kind="stable")[:keep].tolist())
