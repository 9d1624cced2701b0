"""From noisy answers to (ε, δ), by privacy loss distributions.

Everything that is composed here is a Gaussian or Laplace mechanism, on everybody or on a Poisson
sample, for which dp-accounting has exact privacy losses. It rounds them so that ε is never too
small (Doroshenko, Ghazi, Kamath, Kumar, Manurangsi: "Connect the Dots", PETS 2022). Neighbours
differ by one unit that is added or removed, as in the sensitivities of the mechanisms.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfed.core.ledger import Limit
from medfed.core.mechanism import NoisyAnswer, merge
from medfed.privacy import renyi
from medfed.privacy.events import LEAST_NOISE, event_of, renyi_answer

INTERVAL = 1e-3
"""Grid of privacy losses: ε comes out too large by less than a hundredth of itself."""
MOST_NOISE = 1e4
"""Noise, in sensitivities, beyond which nobody would call it learning."""


class LossAccountant:
    """`medfed.core.ledger.Accountant` by privacy loss distributions, beside a Rényi filter."""

    def epsilon(self, answers: Sequence[NoisyAnswer], delta: float) -> float:
        """The ε of some answers at a δ; see `epsilon`."""
        return epsilon(answers, delta)

    def order(self, epsilon: float, delta: float) -> int:
        """The order of a limit's filter; see `medfed.privacy.renyi.order_for`."""
        return renyi.order_for(epsilon, delta)

    def used(self, answers: Sequence[NoisyAnswer], limit: Limit) -> float:
        """The share of what a limit's filter allows; see `medfed.privacy.renyi.used`."""
        return renyi.used(answers, limit)


def epsilon(answers: Sequence[NoisyAnswer], delta: float, interval: float = INTERVAL) -> float:
    """The ε of some answers together.

    Args:
        answers: What a unit's data went into.
        delta: The chance that ε does not hold.
        interval: Grid of privacy losses.

    Returns:
        ε, 0 for no answers; infinite where an answer has no noise.
    """
    return _epsilon(merge(answers), delta, interval)


def delta(answers: Sequence[NoisyAnswer], at: float, interval: float = INTERVAL) -> float:
    """The δ of some answers together at an ε."""
    return float(_composed(merge(answers), interval).get_delta(at))


def deltas(
    answers: Sequence[NoisyAnswer], at: NDArray[np.float64], interval: float = INTERVAL
) -> NDArray[np.float64]:
    """The δ of some answers together at many ε."""
    composed = _composed(merge(answers), interval)
    return np.array([composed.get_delta(float(one)) for one in at])


def calibrate(
    answers: Callable[[float], Sequence[NoisyAnswer]], epsilon: float, delta: float
) -> float:
    """The least noise with which answers cost no more than (ε, δ).

    Args:
        answers: The answers for a noise, in sensitivities.
        epsilon: What they may cost.
        delta: At which δ.
    """
    low, high = 0.0, 1.0
    while _epsilon(merge(answers(high)), delta, INTERVAL) > epsilon:
        low, high = high, high * 2.0
        if high > MOST_NOISE:
            return math.inf
    while high - low > 1e-4 * high:
        middle = 0.5 * (low + high)
        good = _epsilon(merge(answers(middle)), delta, INTERVAL) <= epsilon
        low, high = (low, middle) if good else (middle, high)
    return high


ROUGH = 100.0
"""Above it the Rényi bound is given: exact losses so large would fill the memory, for nothing."""
ORDERS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0, 64.0)
"""Enough for a rough figure; whole numbers, whose series always converge."""


@functools.lru_cache(maxsize=512)
def _epsilon(answers: tuple[NoisyAnswer, ...], delta: float, interval: float) -> float:
    if not answers:
        return 0.0
    if any(a.noise < LEAST_NOISE for a in answers):
        return math.inf
    rough = _rough(answers, delta)
    return rough if rough > ROUGH else float(_composed(answers, interval).get_epsilon(delta))


def _rough(answers: tuple[NoisyAnswer, ...], delta: float) -> float:
    """An ε that is never too small, by Rényi divergences: quick whatever it comes to."""
    from dp_accounting import rdp  # slow to load

    accountant = rdp.RdpAccountant(ORDERS)
    for answer in answers:
        accountant.compose(event_of(renyi_answer(answer)), answer.times)
    return float(accountant.get_epsilon(delta))


def _composed(answers: tuple[NoisyAnswer, ...], interval: float) -> Any:
    from dp_accounting import pld  # slow to load

    accountant = pld.PLDAccountant(value_discretization_interval=interval)
    for answer in answers:
        accountant.compose(event_of(answer), answer.times)
    return accountant
