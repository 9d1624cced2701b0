"""A Rényi filter: a limit that also holds where the next study is chosen by the last one's answers.

Rényi divergences of one order add up, also where each next answer is chosen by those before it,
as long as the bound on their sum was fixed first (Feldman and Zrnic: "Individual Privacy
Accounting via a Rényi Filter", NeurIPS 2021, arXiv:2008.11193); several studies at once change
nothing (Haney et al. 2023, arXiv:2309.05901). A sum of privacy losses that is stopped at ε is no
such filter in general (arXiv:2602.06756). The bound is what converts to (ε, δ) (Canonne, Kamath
and Steinke: "The Discrete Gaussian for Differential Privacy", 2020, arXiv:2004.00010,
proposition 12).

Beside it stands the filter of pure ε, which add up too (Rogers, Roth, Ullman and Vadhan: "Privacy
Odometers and Filters", 2016): it has no δ, so that what either admits is (ε, δ) private together;
the proof is in docs/decisions/0108. A few Laplace answers pass it that no order would admit.

Divergences come from dp-accounting. Nothing is calculated here but sums and the conversion.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medfed.core.ledger import LEAST_ORDER, MOST_ORDER, Limit
from medfed.core.mechanism import NoisyAnswer, merge
from medfed.privacy.events import LEAST_NOISE, event_of, renyi_answer

NEARLY = 0.95
"""Of what the best order admits of Gaussian answers about everybody. Lower orders admit far more
answers about rare samples with little noise, whose divergences explode at high ones."""


def used(answers: Sequence[NoisyAnswer], limit: Limit) -> float:
    """The share that answers take of what a limit's filters allow: they admit up to 1.

    Args:
        answers: What a unit's data went into.
        limit: The limit.

    Returns:
        The smaller of two shares: Rényi divergence by its bound, pure ε by the limit's. 0 for no
        answers, infinite where neither filter allows any.
    """
    given = merge(answers)
    if not given:
        return 0.0
    most = bound(limit.epsilon, limit.delta, limit.order)
    by_divergence = divergence(given, limit.order) / most if most > 0 else math.inf
    by_pure_epsilon = _pure(given) / limit.epsilon if limit.epsilon > 0 else math.inf
    return min(by_divergence, by_pure_epsilon)


def bound(epsilon: float, delta: float, order: int) -> float:
    """The most divergence of an order that is still (ε, δ) private; below 0 where none is."""
    return float(_bounds(epsilon, delta, np.array([order], np.float64))[0])


def order_for(epsilon: float, delta: float) -> int:
    """The lowest order at which Gaussian answers get nearly as far as at the best.

    Their divergence grows with the order, so they get furthest where bound by order is largest.
    """
    orders = np.arange(LEAST_ORDER, MOST_ORDER + 1, dtype=np.float64)
    reach = _bounds(epsilon, delta, orders) / orders
    if reach.max() <= 0:
        return int(orders[reach.argmax()])
    return int(orders[np.argmax(reach >= NEARLY * reach.max())])


def divergence(answers: Sequence[NoisyAnswer], order: int) -> float:
    """The Rényi divergence of answers together, between neighbours; infinite without noise."""
    return math.fsum(answer.times * _divergence(renyi_answer(answer), order) for answer in answers)


@functools.lru_cache(maxsize=4096)
def _divergence(answer: NoisyAnswer, order: int) -> float:
    if answer.noise < LEAST_NOISE:
        return math.inf
    from dp_accounting import rdp  # slow to load

    accountant = rdp.RdpAccountant([float(order)])
    accountant.compose(event_of(answer))
    return float(accountant.rdp[0])


def _pure(answers: Sequence[NoisyAnswer]) -> float:
    if any(answer.kind != "laplace" or answer.noise < LEAST_NOISE for answer in answers):
        return math.inf
    return math.fsum(answer.times / answer.noise for answer in answers)


def _bounds(epsilon: float, delta: float, orders: NDArray[np.float64]) -> NDArray[np.float64]:
    return epsilon - np.log1p(-1.0 / orders) + np.log(delta * orders) / (orders - 1.0)
