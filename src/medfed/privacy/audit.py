"""What noise really hides, measured: a lower bound from a canary that somebody looks for.

An outlier (the canary) is put into some of many answers, and one who knows all but that guesses
from each whether it was there. If the mechanism is µ-GDP, no guess errs less often than two normal
distributions a distance µ apart allow (Dong, Roth, Su: "Gaussian Differential Privacy", JRSS B
2022), so the errors seen bound µ from below (Nasr et al.: "Tight Auditing of Differentially Private
Machine Learning", USENIX Security 2023).
"""

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.999
"""How sure each of the two error rates is; both must err, and together, for a false alarm."""


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


def epsilon_of(mu: float, delta: float) -> float:
    """The ε of µ-GDP at a δ; 0 where µ is not above 0."""
    from medfed.core.mechanism import NoisyAnswer
    from medfed.privacy.accountant import epsilon

    return epsilon([NoisyAnswer("gaussian", 1.0 / mu)], delta) if mu > 0 else 0.0


def _at_most(errors: int, tries: int, confidence: float) -> float:
    from scipy.stats import beta

    return float(beta.ppf(confidence, errors + 1, tries - errors)) if errors < tries else 1.0
