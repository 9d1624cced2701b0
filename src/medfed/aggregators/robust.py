"""Aggregators that a minority of wrong sites cannot pull far.

Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical rates"
(arXiv 1803.01498), definitions 1 and 2. Every site counts the same, whatever it says about its
number of patients: a wrong site could claim any. What is combined is each site's mean (its tensor
divided by its weight); the result is multiplied by the total weight of the sites that sent the
tensor, so that `Update.mean` gives the median itself.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medfed.aggregators.chunks import Sent, answer_once, gather_once
from medfed.aggregators.hostile import hostile_protection
from medfed.aggregators.norm_gate import NormGate
from medfed.core.aggregator import Ask, Gathered
from medfed.core.options import option
from medfed.core.update import Array, Tensors, Update


@dataclass(frozen=True, slots=True)
class CoordinateMedian(NormGate):
    """The median over sites, element by element (Yin et al. 2018, definition 1).

    Holds while fewer than half of the sites are wrong.
    """

    sees_sites: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    once: ClassVar[bool] = True

    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """As `medfed.core.aggregator.Promising` says it."""
        return hostile_protection((min_sites - 1) // 2, min_sites)

    def gather(self, ask: Ask, memory: Tensors) -> Gathered:
        """Ask for the updates and take the median of each element."""
        return gather_once(ask, median, side_by_side=True)

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Send the update as it is."""
        return answer_once(phase, work, mine)


@dataclass(frozen=True, slots=True)
class TrimmedMean(NormGate):
    """The mean over sites without the extremes, element by element (Yin et al., definition 2).

    ``ceil(trim × sites)`` values are left out at either end, at most so many that one or two
    remain: rounded up, because a rule that trims nobody protects from nobody.
    """

    sees_sites: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    once: ClassVar[bool] = True

    trim: float = option(0.1, "share of the sites left out at either end", low=0.0, high=0.49)

    def protection(self, sites: int, min_sites: int) -> Sequence[str]:
        """As `medfed.core.aggregator.Promising` says it."""
        return hostile_protection(left_out(self.trim, min_sites), min_sites)

    def gather(self, ask: Ask, memory: Tensors) -> Gathered:
        """Ask for the updates and take the trimmed mean of each element."""
        return gather_once(ask, self._trimmed, side_by_side=True)

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Send the update as it is."""
        return answer_once(phase, work, mine)

    def _trimmed(self, sent: Sent, start: int, stop: int) -> Array:
        return trimmed(sent, start, stop, left_out(self.trim, len(sent.senders)))


def left_out(trim: float, sites: int) -> int:
    """How many values a trimmed mean leaves out at either end; at least one remains."""
    wanted = math.ceil(trim * sites - 1e-9)  # 0.1 × 30 is a little more than 3 in floating point
    return min(wanted, (sites - 1) // 2)


def median(sent: Sent, start: int, stop: int) -> Array:
    """The median of the sites' means times their total weight, shape ``(stop - start,)``."""
    return trimmed(sent, start, stop, (len(sent.senders) - 1) // 2)


def trimmed(sent: Sent, start: int, stop: int, out: int) -> Array:
    """The mean of the sites' means but the ``out`` smallest and largest, times the total weight.

    With all but the middle one or two left out it is the median.

    Returns:
        float64, shape ``(stop - start,)``.
    """
    weights = sent.weights()
    means = np.empty((stop - start, len(weights)))
    for column, (site, weight) in enumerate(zip(sent.senders, weights, strict=True)):
        np.divide(site.chunk(sent.name, start, stop), weight, out=means[:, column])
    return trimmed_sum(means, out) * (math.fsum(weights) / (len(weights) - 2 * out))


def trimmed_sum(rows: Array, out: int) -> Array:
    """The sum of each row without its ``out`` smallest and largest values; sorts ``rows`` in place.

    Args:
        rows: float64, shape ``(elements, sites)``.
        out: How many values to leave out at either end.

    Returns:
        float64, shape ``(elements,)``.
    """
    rows.sort(axis=1)
    total = np.zeros(len(rows))
    # One by one: np.sum adds in an order that depends on the chunk's length.
    for column in range(out, rows.shape[1] - out):
        total += rows[:, column]
    return total
