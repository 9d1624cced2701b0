"""How well scores tell members from others, and how well guessing would have done."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfed.core.task import Interval

RATES = (0.01, 0.1)
"""Shares of the others whom an attacker may wrongly take for members."""
LEVEL = 0.95
SURE = 0.01
"""A success is called shown when guessing would reach it with less than this probability."""


@dataclass(frozen=True, slots=True)
class AtRate:
    """Members found where hardly any other patient is taken for one.

    Attributes:
        rate: The share of others that may be taken for members.
        found: Members found, of all of them.
        share: The same as a share, with its Clopper–Pearson interval.
        alarms: Others taken for members; few others make this 0 whatever ``rate`` allows.
        alarm_share: The same as a share, with its interval: how sure the rate itself is.
        guessing: The share that guessing finds in the mean under the same rule.
        guessing_high: The share that it exceeds in at most 2.5 of 100 cases.
        p: The probability that guessing finds as many or more.
    """

    rate: float
    found: int
    share: Interval
    alarms: int
    alarm_share: Interval
    guessing: float
    guessing_high: float
    p: float

    @property
    def shown(self) -> bool:
        """Whether this is more than guessing explains."""
        return self.p < SURE


@dataclass(frozen=True, slots=True)
class Success:
    """What an attack reached.

    Attributes:
        members: Patients trained on, whom it was to find.
        others: Patients not trained on.
        auc: The chance that a member's score is above another's; its interval by DeLong.
        p: The probability that guessing reaches such an AUC (Mann–Whitney).
        at: Members found at each of `RATES`.
    """

    members: int
    others: int
    auc: Interval
    p: float
    at: tuple[AtRate, ...]

    @property
    def shown(self) -> bool:
        """Whether any of the figures is more than guessing explains."""
        return self.p < SURE or any(one.shown for one in self.at)


def success(
    members: NDArray[np.float64], others: NDArray[np.float64], rates: Sequence[float] = RATES
) -> Success:
    """Judge an attack by the scores that it gave.

    Args:
        members: Scores of patients trained on; one or more.
        others: Scores of patients not trained on; one or more.
        rates: Shares of others that may be taken for members.
    """
    from scipy.stats import mannwhitneyu

    flat = np.ptp(np.concatenate([members, others])) == 0  # no score says anything
    p = 1.0 if flat else float(mannwhitneyu(members, others, alternative="greater").pvalue)
    at = tuple(at_rate(members, others, rate) for rate in rates)
    return Success(len(members), len(others), auc(members, others), p, at)


def auc(members: NDArray[np.float64], others: NDArray[np.float64]) -> Interval:
    """The area under the ROC curve with DeLong's interval; ties count half.

    DeLong, DeLong, Clarke-Pearson: "Comparing the areas under two or more correlated receiver
    operating characteristic curves", Biometrics 44, 1988; by ranks as in Sun and Xu, IEEE SPL 21,
    2014. Scores that part the two groups wholly have an interval without width.
    """
    from scipy.stats import norm, rankdata

    m, n = len(members), len(others)
    ranks = rankdata(np.concatenate([members, others]))
    above = (ranks[:m] - rankdata(members)) / n  # the share of others below each member
    below = 1.0 - (ranks[m:] - rankdata(others)) / m
    value = float(above.mean())
    if m < 2 or n < 2:
        return Interval(value)
    spread = math.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n)
    half = float(norm.ppf((1 + LEVEL) / 2)) * spread
    return Interval(value, max(0.0, value - half), min(1.0, value + half))


def at_rate(members: NDArray[np.float64], others: NDArray[np.float64], rate: float) -> AtRate:
    """Members above the score that the allowed share of others, and no more, exceeds.

    The score is chosen on the same others, which favours the attacker and is what makes 1 of 100
    of few patients a rough figure. So it is compared with what guessing reaches under the very
    same rule: were all scores in random order, the members before the (k + 1)-th other would be
    negative hypergeometric.
    """
    from scipy.stats import nhypergeom

    m, n = len(members), len(others)
    allowed = math.floor(rate * n + 1e-9)
    threshold = np.sort(others)[::-1][min(allowed, n - 1)]
    found, alarms = int((members > threshold).sum()), int((others > threshold).sum())
    guess: Any = nhypergeom(m + n, m, min(allowed, n - 1) + 1)
    return AtRate(
        rate=rate,
        found=found,
        share=share(found, m),
        alarms=alarms,
        alarm_share=share(alarms, n),
        guessing=float(guess.mean()) / m,
        guessing_high=float(guess.ppf((1 + LEVEL) / 2)) / m,
        p=min(1.0, float(guess.sf(found - 1))) if found else 1.0,
    )


def share(count: int, of: int) -> Interval:
    """A share with its exact interval (Clopper and Pearson, Biometrika 26, 1934)."""
    from scipy.stats import beta

    tail = (1 - LEVEL) / 2
    low = float(beta.ppf(tail, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, of - count)) if count < of else 1.0
    return Interval(count / of, low, high)
