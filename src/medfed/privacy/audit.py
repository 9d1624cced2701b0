"""What noise really hides, measured: a lower bound from a canary that somebody looks for.

An outlier (the canary) is put into some of many answers, and one who knows all but that guesses
from each whether it was there. If the mechanism is µ-GDP, no guess errs less often than two normal
distributions a distance µ apart allow (Dong, Roth, Su: "Gaussian Differential Privacy", JRSS B
2022), so the errors seen bound µ from below (Nasr et al.: "Tight Auditing of Differentially Private
Machine Learning", USENIX Security 2023).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medfed.core.mechanism import NoisyAnswer

CONFIDENCE = 0.999
"""How sure each of the two error rates is; both must err, and together, for a false alarm."""

FINE = 0.005
"""By how much, relatively, a share of noise may be too large: this side is the safe one."""
MOST_SHARE = 64.0
POINTS = 60
"""ε at which the right guesses are bounded."""
LEAST = 0.05
"""Noise below which no accountant is asked: it hides nothing."""


def least_mu(
    without: NDArray[np.float64],
    canary: NDArray[np.float64],
    threshold: float,
    confidence: float = CONFIDENCE,
) -> float:
    """The least µ that explains how well the canary was seen.

    Args:
        without: What was measured where the canary was absent.
        canary: What was measured where it was there.
        threshold: Above it the guess is "there"; chosen before looking.
        confidence: How sure each error rate is, by Clopper and Pearson.

    Returns:
        A lower bound of µ; negative where the guesses were no better than chance.
    """
    from scipy.stats import norm

    alarm = _at_most(int(np.sum(without > threshold)), len(without), confidence)
    missed = _at_most(int(np.sum(canary <= threshold)), len(canary), confidence)
    return float(norm.ppf(1.0 - alarm) - norm.ppf(missed))


def most_noise(
    without: NDArray[np.float64],
    canary: NDArray[np.float64],
    threshold: float,
    answers: Sequence[NoisyAnswer],
    confidence: float = CONFIDENCE,
) -> float:
    """The most noise that explains how well the canary was seen, as a share of what is claimed.

    As `least_mu`, for answers that are no single Gaussian one, such as many on Poisson samples: of
    (ε, δ)-differential privacy, whoever guesses "there" wrongly with a chance α does so rightly
    with one of eᵋα + δ at most (Kairouz, Oh, Viswanath: "The Composition Theorem for Differential
    Privacy", ICML 2015), for every ε with the δ that the accountant gives it.

    Args:
        without: What was measured where the canary was absent.
        canary: What was measured where it was there.
        threshold: Above it the guess is "there"; chosen before looking.
        answers: What is claimed to have been answered.
        confidence: How sure each error rate is, by Clopper and Pearson.

    Returns:
        Below 1 where the noise is less than claimed; infinite where guesses were no better than
        chance.
    """
    alarm = _at_most(int(np.sum(without > threshold)), len(without), confidence)
    seen = 1.0 - _at_most(int(np.sum(canary <= threshold)), len(canary), confidence)
    if seen <= alarm:
        return math.inf
    low, high = 0.0, 1.0
    while _right_at_most(answers, high, alarm) >= seen and high < MOST_SHARE:
        low, high = high, 2.0 * high
    while high - low > FINE * high:
        middle = (low + high) / 2.0
        enough = _right_at_most(answers, middle, alarm) >= seen
        low, high = (middle, high) if enough else (low, middle)
    return high


def scaled(answers: Sequence[NoisyAnswer], share: float) -> list[NoisyAnswer]:
    """Answers with another noise."""
    return [replace(one, noise=one.noise * share) for one in answers]


def _right_at_most(answers: Sequence[NoisyAnswer], share: float, alarm: float) -> float:
    """The chance of a right guess, at most, with a chance ``alarm`` of a wrong one."""
    from medfed.privacy.accountant import deltas

    if min(one.noise for one in answers) * share < LEAST:
        return 1.0
    at = np.linspace(0.0, -math.log(alarm), POINTS)
    return float(np.min(np.exp(at) * alarm + deltas(scaled(answers, share), at)))


def epsilon_of(mu: float, delta: float) -> float:
    """The ε of µ-GDP at a δ; 0 where µ is not above 0."""
    from medfed.privacy.accountant import epsilon

    return epsilon([NoisyAnswer("gaussian", 1.0 / mu)], delta) if mu > 0 else 0.0


def _at_most(errors: int, tries: int, confidence: float) -> float:
    from scipy.stats import beta

    return float(beta.ppf(confidence, errors + 1, tries - errors)) if errors < tries else 1.0
