"""Noise on whole numbers, by OpenDP: exact in its arithmetic, and from the system's randomness.

Figures are whole multiples of 2^-24 before they are noised, so their sums are exact and no bit of a
floating-point number can tell of a patient (Mironov 2012, "On significance of the least significant
bits for differential privacy", CCS). The noise is discrete: Laplace (Ghosh, Roughgarden and
Sundararajan 2009) or Gaussian (Canonne, Kamath and Steinke 2020).
"""

import functools
from typing import Any, Literal

import numpy as np

from medfed.core.mechanism import NoisyAnswer
from medfed.core.update import Array
from medfed.privacy.accountant import calibrate

Kind = Literal["gaussian", "laplace"]

GRID = 2**24
"""Steps between 0 and 1."""
SLACK = 1e-3
"""By so much less noise than there is an answer is charged for: discrete noise on so fine a grid
differs from the continuous one that the accountant knows by far less."""


def answers(kind: Kind, noise: float, moved: int) -> tuple[NoisyAnswer, ...]:
    """What noised figures cost a patient who moves some of them, each by 1 at most."""
    charged = noise * (1.0 - SLACK)
    return (NoisyAnswer(kind, charged, times=moved),)


@functools.lru_cache(maxsize=256)
def noise_for(kind: Kind, epsilon: float, delta: float, moved: int) -> float:
    """The scale (Laplace) or standard deviation (Gaussian) at which figures cost (ε, δ).

    Laplace noise costs ε whatever δ is: the sum of what its figures cost one by one.
    """
    if kind == "laplace":
        return moved / epsilon / (1.0 - SLACK)
    return calibrate(lambda noise: answers(kind, noise, moved), epsilon, delta)


def noised(figures: Array, kind: Kind, noise: float) -> Array:
    """Whole numbers with noise.

    Args:
        figures: int64, shape ``(count,)``.
        kind: ``laplace`` or ``gaussian``.
        noise: Its scale or standard deviation, in steps of 1 (not of the grid).
    """
    import opendp.prelude as dp  # slow to load

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64"))
    make: Any
    if kind == "laplace":
        make, metric = dp.m.make_laplace, dp.l1_distance(T="i64")
    else:
        make, metric = dp.m.make_gaussian, dp.l2_distance(T=float)
    measure = make(space, metric, scale=float(noise * GRID))
    return np.array(measure([int(one) for one in figures]), np.int64)


def on_grid(contributions: Array) -> Array:
    """What each patient adds, rounded to the grid, and summed: int64 ``(figures,)``.

    Args:
        contributions: Numbers from −1 to 1, shape ``(patients, figures)``. What is none counts as
            0: as a whole number it would be the lowest there is, and show through any noise.
    """
    numbers = np.nan_to_num(contributions, nan=0.0)
    steps = np.rint(np.clip(numbers, -1.0, 1.0) * GRID).astype(np.int64)
    return np.asarray(steps.sum(axis=0), np.int64)


def spread(kind: Kind, noise: float) -> float:
    """The standard deviation of noise."""
    return noise * 2.0**0.5 if kind == "laplace" else noise
