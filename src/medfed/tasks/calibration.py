"""How often a candidate of some score is a nodule: from counts that add up over sites.

A network's scores are no probabilities: it learned from patches that hold more nodule than scans
do, by a loss that asks for overlap. So the candidates in held-out scans are counted by score, those
that touch a nodule and those that do not, and a curve is put through the counts of all sites.

The curve is Platt's (in: Advances in Large Margin Classifiers, MIT Press 1999), a logistic function
of the score's log-odds, fitted to his smoothed targets: with the few hundred candidates that a
study has, a free (isotonic) curve follows chance (Niculescu-Mizil and Caruana, "Predicting good
probabilities with supervised learning", ICML 2005, section 4).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfed.core.update import Array, Stats

Floats = NDArray[np.float64]
EDGE = 10.0
BINS = 80
"""Counts are kept by log-odds from -10 to 10, in steps of 1/4; what lies beyond is in the ends."""
FEWEST = 10
"""Hits, and misses, that a curve needs."""
SHOWN = 10
"""Groups of candidates, equally many in each, that a plot compares the curve with."""
_STEPS = 60


def counted(scores: Sequence[float], hits: Sequence[bool]) -> Stats:
    """Candidates by score; counts of several patients add up.

    Args:
        scores: From 0 to 1.
        hits: Whether each touches a nodule.
    """
    places, hit = _places(np.asarray(scores, np.float64)), np.asarray(hits, bool)
    return {
        "hits": np.bincount(places[hit], minlength=BINS).astype(np.int64),
        "misses": np.bincount(places[~hit], minlength=BINS).astype(np.int64),
    }


def curve(total: Stats) -> dict[str, Any]:
    """The calibration that summed counts give.

    Returns:
        Plain data: ``patients``, ``hits`` and ``misses``; where there are enough, ``scores`` and
        the probabilities ``observed`` there, and ``groups`` of candidates with their mean score,
        the share that were nodules, and their number; else ``reason``.

    Raises:
        KeyError: Counts are missing.
        ValueError: They are no counts.
    """
    hits, misses = (_counts(total[name]) for name in ("hits", "misses"))
    plain: dict[str, Any] = {
        "patients": int(np.sum(total["patients"])),
        "hits": int(hits.sum()),
        "misses": int(misses.sum()),
    }
    if min(plain["hits"], plain["misses"]) < FEWEST:
        why = f"it takes {FEWEST} candidates of either kind"
        return {**plain, "reason": why}
    slope, offset = _platt(hits, misses)
    if slope <= 0:
        why = "higher scores were not more often right"
        return {**plain, "reason": why}
    odds = np.linspace(-EDGE, EDGE, BINS + 1)
    return {
        **plain,
        "method": "Platt",
        "slope": round(slope, 6),
        "offset": round(offset, 6),
        "scores": [0.0, *np.round(_sigmoid(odds), 9).tolist(), 1.0],
        "observed": _ends(np.round(_sigmoid(slope * odds + offset), 6).tolist()),
        "groups": _groups(hits, misses),
    }


def _ends(values: list[float]) -> list[float]:
    return [values[0], *values, values[-1]]


def _places(scores: Floats) -> NDArray[np.int64]:
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    odds = np.log(clipped / (1 - clipped))
    return np.clip((odds + EDGE) * BINS / (2 * EDGE), 0, BINS - 1).astype(np.int64)


def _middles() -> Floats:
    step = 2 * EDGE / BINS
    return np.linspace(-EDGE + step / 2, EDGE - step / 2, BINS, dtype=np.float64)


def _counts(value: Array) -> Floats:
    counts = np.asarray(value, np.float64)
    if counts.shape != (BINS,) or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("these are no counts of candidates")
    return counts


def _platt(hits: Floats, misses: Floats) -> tuple[float, float]:
    """Slope and offset, by Newton's method with step halving."""
    many, few = hits.sum(), misses.sum()
    target_hit, target_miss = (many + 1) / (many + 2), 1 / (few + 2)
    weight = hits + misses
    wanted = hits * target_hit + misses * target_miss
    x = np.stack([_middles(), np.ones(BINS)])
    found = np.array([0.0, np.log((many + 1) / (few + 1))])
    loss = _loss(found, x, weight, wanted)
    for _ in range(_STEPS):
        p = _sigmoid(found @ x)
        gradient = x @ (weight * p - wanted)
        curvature = (x * (weight * p * (1 - p))) @ x.T + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        share = 1.0
        while share > 1e-6 and _loss(found - share * step, x, weight, wanted) > loss:
            share /= 2
        found = found - share * step
        before, loss = loss, _loss(found, x, weight, wanted)
        if abs(before - loss) < 1e-12 * (1 + abs(loss)):
            break
    return float(found[0]), float(found[1])


def _loss(at: Floats, x: Floats, weight: Floats, wanted: Floats) -> float:
    odds = at @ x
    return float(weight @ np.logaddexp(0, odds) - wanted @ odds)


def _groups(hits: Floats, misses: Floats) -> list[dict[str, float]]:
    """Candidates in order of score, in groups of about the same number; whole bins only."""
    both = hits + misses
    group = np.minimum((np.cumsum(both) - both / 2) * SHOWN // both.sum(), SHOWN - 1)
    scores = _sigmoid(_middles())
    found = []
    for number in np.unique(group[both > 0]):
        of = (group == number) & (both > 0)
        count = both[of].sum()
        found.append(
            {
                "score": round(float(scores[of] @ both[of] / count), 6),
                "observed": round(float(hits[of].sum() / count), 6),
                "candidates": int(count),
            }
        )
    return found


def _sigmoid(odds: Floats) -> Floats:
    return 1 / (1 + np.exp(-odds))
