"""How well nodules are found: LUNA16's free-response ROC (FROC) and its score, the CPM.

The rules are those of the challenge (Setio et al., Medical Image Analysis 42, 2017; its script
``noduleCADEvaluationLUNA16.py``):

- a mark hits a nodule when it lies closer to its centre than the nodule's radius;
- a nodule has the score of the best mark that hits it; the other marks on it count for nothing;
- a mark on a finding that is listed as irrelevant counts for nothing;
- every other mark is a false positive; of a scan only the 100 best marks count;
- between the points of the curve lie straight lines, the first from (0, 0); to the right of the
  last point the curve stays as high as it is;
- the CPM is the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives a scan.

The challenge's intervals come from 1,000 bootstraps over scans, and so they do here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from medfed.core.task import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from medfed.imaging.geometry import Triple

RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""False positives a scan at which the CPM looks."""
MOST_MARKS = 100
UNKNOWN_DIAMETER_MM = 10.0
"""What LUNA16 takes a finding to be whose diameter is given as -1."""
DRAWS = 1000

Order = Literal["tied", "best", "worst"]


@dataclass(frozen=True)
class Finding:
    """Something in a scan that a reader wrote down.

    Attributes:
        centre_mm: in the frame of the marks, mm.
        diameter_mm: below 0 where it is not known.
        relevant: False for what is neither to be found nor to be held against who finds it.
    """

    centre_mm: Triple
    diameter_mm: float
    relevant: bool = True

    @property
    def radius_mm(self) -> float:
        """Half the diameter, 5 mm where it is not known."""
        return (self.diameter_mm if self.diameter_mm >= 0 else UNKNOWN_DIAMETER_MM) / 2


@dataclass(frozen=True)
class Mark:
    """A place where a program says that there is a nodule; a higher score is more certain."""

    centre_mm: Triple
    score: float


@dataclass(frozen=True)
class Scored:
    """The marks of one scan beside what is there.

    Attributes:
        hits: the score of each nodule that was found.
        false: the score of each false positive.
        nodules: how many there are to find.
        duplicates: marks on a nodule besides its best.
        ignored: marks on irrelevant findings.
    """

    hits: tuple[float, ...]
    false: tuple[float, ...]
    nodules: int
    duplicates: int = 0
    ignored: int = 0


def match(marks: Sequence[Mark], findings: Sequence[Finding], most: int = MOST_MARKS) -> Scored:
    """Hold the marks of one scan against its findings.

    Args:
        marks: in any order.
        findings: nodules and irrelevant findings, in any order.
        most: where there are more marks, only those count that score above the next best one.
    """
    counted = _best(marks, most)
    places = np.array([m.centre_mm for m in counted], np.float64).reshape(-1, 3)
    free = np.ones(len(counted), bool)
    hits: list[float] = []
    duplicates = 0
    nodules = [f for f in findings if f.relevant]
    for nodule in nodules:
        on_it = np.flatnonzero(_within(places, nodule))
        if on_it.size:
            hits.append(max(counted[i].score for i in on_it))
            duplicates += on_it.size - 1
            free[on_it] = False
    ignored = 0
    for finding in findings:
        if not finding.relevant:
            near = _within(places, finding) & free
            ignored += int(near.sum())
            free &= ~near
    false = tuple(mark.score for mark, is_free in zip(counted, free, strict=True) if is_free)
    return Scored(tuple(hits), false, len(nodules), duplicates, ignored)


def _best(marks: Sequence[Mark], most: int) -> list[Mark]:
    if len(marks) <= most:
        return list(marks)
    bar = sorted((m.score for m in marks), reverse=True)[most]
    return [m for m in marks if m.score > bar]


def _within(places: NDArray[np.float64], finding: Finding) -> NDArray[np.bool_]:
    squares = ((places - np.asarray(finding.centre_mm)) ** 2).sum(axis=1)
    return np.asarray(squares < finding.radius_mm**2)


@dataclass(frozen=True, eq=False)
class Froc:
    """A FROC curve with its figures.

    Attributes:
        false_positives: a scan, from 0, one for each point of the curve.
        sensitivity: at these points.
        at_rates: the sensitivity at each of `RATES`.
        cpm: their mean.
    """

    false_positives: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    at_rates: tuple[Interval, ...]
    cpm: Interval


def froc(scans: Sequence[Scored], draws: int = DRAWS, seed: int = 0) -> Froc:
    """The exact curve of some scans, with the challenge's figures and intervals.

    Args:
        scans: one for each scan, also those without marks or nodules.
        draws: bootstraps, each of as many scans drawn with replacement.
        seed: the draws depend on it and the scans alone.

    Raises:
        ValueError: there is no nodule to find.
    """
    nodules = np.array([s.nodules for s in scans], np.float64)
    if not nodules.sum():
        raise ValueError("without a nodule there is no sensitivity")
    known = sorted({score for s in scans for score in (*s.hits, *s.false)})
    hits = _Levels.of([s.hits for s in scans], known)
    false = _Levels.of([s.false for s in scans], known)
    once = np.ones((1, len(scans)))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(scans), np.full(len(scans), 1 / len(scans)), size=draws)
    weights = np.concatenate([once, drawn])
    rows = [
        sensitivities(hits.counts(w), false.counts(w), float(w @ nodules), len(scans))
        for w in weights
    ]
    table = np.array([[*row, row.mean()] for row in rows])
    bounds = [_bounded(float(column[0]), column[1:]) for column in table.T]
    counts = hits.counts(weights[0]), false.counts(weights[0])
    x, y = curve(*counts, float(nodules.sum()), len(scans))
    return Froc(x, y, tuple(bounds[:-1]), bounds[-1])


@dataclass(frozen=True, eq=False)
class _Levels:
    """Scores of many scans, each by its place among all scores.

    Attributes:
        level: the place of each score.
        scan: whose it is.
        levels: how many different scores there are.
    """

    level: NDArray[np.int64]
    scan: NDArray[np.int64]
    levels: int

    @classmethod
    def of(cls, scores: Sequence[Sequence[float]], known: Sequence[float]) -> _Levels:
        """The scores of each scan among the known ones, which are sorted."""
        flat = np.array([score for own in scores for score in own], np.float64)
        scan = np.repeat(np.arange(len(scores)), [len(own) for own in scores])
        return cls(np.searchsorted(np.asarray(known), flat), scan, max(1, len(known)))

    def counts(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """How many scores there are at each level, when scans count so often."""
        return np.bincount(self.level, weights[self.scan], self.levels).astype(np.float64)


def _bounded(value: float, drawn: NDArray[np.float64]) -> Interval:
    """The challenge's percentiles: the values at these ranks, not between two."""
    ranked = np.sort(drawn[np.isfinite(drawn)])
    if not ranked.size:
        return Interval(value)
    low, high = (ranked[math.floor(share * ranked.size)] for share in (0.025, 0.975))
    return Interval(value, float(low), float(high))


def curve(
    hits: ArrayLike, false: ArrayLike, nodules: float, scans: float, order: Order = "tied"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points of a FROC curve.

    Args:
        hits: nodules found, by the score of their best mark, from the lowest score to the highest.
        false: false positives by the same scores.
        nodules: how many there are to find.
        scans: how many scans.
        order: what to make of hits and false positives of the same score. ``tied``: both come at
            once, as in the challenge. ``best``, ``worst``: the hits come first, or last, which
            bounds what finer scores could give.

    Returns:
        False positives a scan and sensitivity, from (0, 0).
    """
    found = np.concatenate([[0.0], np.cumsum(np.asarray(hits, np.float64)[::-1])]) / nodules
    wrong = np.concatenate([[0.0], np.cumsum(np.asarray(false, np.float64)[::-1])]) / scans
    if order == "tied":
        return wrong, found
    first = np.concatenate(
        [[0], np.repeat(np.arange(len(found) - 1), 2) + np.tile([0, 1], len(found) - 1)]
    )
    last = np.concatenate([[0], np.repeat(np.arange(1, len(found)), 2)])
    return (wrong[first], found[last]) if order == "best" else (wrong[last], found[first])


def sensitivities(
    hits: ArrayLike, false: ArrayLike, nodules: float, scans: float, order: Order = "tied"
) -> NDArray[np.float64]:
    """The sensitivity at each of `RATES`; NaN without a nodule or a scan. See `curve`."""
    if nodules <= 0 or scans <= 0:
        return np.full(len(RATES), np.nan)
    return np.interp(RATES, *curve(hits, false, nodules, scans, order))
