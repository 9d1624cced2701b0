"""Nearest-neighbour mixing before a trimmed mean: robust where hospitals differ honestly."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medfed.aggregators.chunks import Rule, Sent, answer_once
from medfed.aggregators.distances import enough, gather_by_distance, means, squared_distances
from medfed.aggregators.hostile import hostile_protection
from medfed.aggregators.norm_gate import NormGate
from medfed.aggregators.robust import trimmed_sum
from medfed.core.aggregator import Ask, Gathered
from medfed.core.options import option
from medfed.core.update import Array, Tensors, Update


@dataclass(frozen=True, slots=True)
class MixedTrimmedMean(NormGate):
    """Each site's update is averaged with its nearest ones, then extremes are left out.

    Allouah, Farhadkhani, Guerraoui, Gupta, Pinot, Stephan 2023, "Fixing by mixing: a recipe for
    optimal Byzantine ML under heterogeneity", AISTATS (arXiv 2302.01772), algorithm 2 (NNM: the
    mean of the n − f nearest, itself included) before the trimmed mean of Yin et al. 2018, which
    leaves f values out at either end. Needs n ≥ 2f + 1. All sites count the same.
    """

    sees_sites: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    once: ClassVar[bool] = True

    wrong: int = option(1, "Sites that may be wrong (f)", low=1, high=1000)

    @property
    def least_sites(self) -> int:
        """Replies that a round needs for the rule to hold."""
        return 2 * self.wrong + 1

    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """As `medfed.core.aggregator.Promising` says it."""
        return hostile_protection(self.wrong, max(min_sites, self.least_sites))

    def gather(self, ask: Ask, memory: Tensors) -> Gathered:
        """Ask for the updates, mix each with its neighbours, trim."""
        return gather_by_distance(ask, self._rule)

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Send the update as it is."""
        return answer_once(phase, work, mine)

    def _rule(self, products: Array) -> Rule:
        enough("nnm-trimmed-mean", len(products), self.least_sites)
        near = neighbours(products, self.wrong)

        def mixed(sent: Sent, start: int, stop: int) -> Array:
            own = means(sent, start, stop)
            rows = np.zeros((stop - start, len(own)))
            for column, nearest in enumerate(near):
                for i in nearest:  # in site order: np.sum's order depends on the chunk's length
                    rows[:, column] += own[i]
            kept = len(near) - 2 * self.wrong
            parts = (len(near) - self.wrong) * kept
            return trimmed_sum(rows, self.wrong) * (math.fsum(sent.weights()) / parts)

        return mixed


def neighbours(products: Array, wrong: int) -> list[list[int]]:
    """For each site the places of the n − f nearest, itself among them, rising.

    Args:
        products: Inner products of the sites' means, shape ``(sites, sites)``.
        wrong: f.
    """
    distances = squared_distances(products)
    np.fill_diagonal(distances, -1.0)  # nobody is nearer than oneself, not even a copy
    ranks = np.argsort(distances, axis=1, kind="stable")[:, : len(products) - wrong]
    return [sorted(row) for row in ranks.tolist()]
