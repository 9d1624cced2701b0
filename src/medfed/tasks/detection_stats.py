"""FROC and CPM from statistics that add up over hospitals.

What a site gives is two histograms on one public grid: the scores of the nodules that were found,
each by its best mark, and the scores of the false positives; beside them how many nodules there
are to find, and how many scans. The grid has 1,024 bins, uniform in the logit from -8 to 8. Hits
and false positives that share a bin count as tied, as equal scores do in LUNA16; `cpm_error` bounds
what that can change.

A scan is more than one cell of a histogram, so the coordinator cannot draw scans again from the
sums. The sites do: each patient is drawn a Poisson(1) number of times in each of 1,000 replicates,
and a site gives the sums of each replicate, on 64 bins. Replicates of several sites add up to
replicates of all of them, which a bootstrap of a fixed number of scans at each site would not give
(Hanley and MacGibbon, Creating non-parametric bootstrap samples using Poisson frequencies, Computer
Methods and Programs in Biomedicine 83, 2006). The spread is put around the value of the fine grid.
All scans of a patient are drawn together.

Replicates of few patients say nearly as much as the patients' own numbers would; rules against
small cells belong to the site.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfed.core.seeding import generator
from medfed.core.task import Interval
from medfed.core.update import Array, Stats
from medfed.imaging.froc import RATES, Order, Scored, sensitivities

BINS = 1024
COARSE = 64
SPAN = 8.0
DRAWS = 1000

AT_RATES = tuple(
    f"sensitivity_at_{r:g}" if r >= 1 else f"sensitivity_at_1_{1 / r:g}" for r in RATES
)
HIGHER_IS_BETTER: Mapping[str, bool] = MappingProxyType(
    {"cpm": True, **dict.fromkeys(AT_RATES, True), "reach": True, "loss": False}
)

_COUNTS = ("nodules", "scans")


def patient_draws(seed: int, site: str, patient: int, draws: int = DRAWS) -> NDArray[np.int64]:
    """How often a patient is drawn in each replicate."""
    return generator(seed, site, "froc", patient).poisson(1.0, draws)


def patient_stats(
    scans: Sequence[Scored],
    loss: float,
    candidates: int,
    drawn: NDArray[np.int64] | None = None,
) -> Stats:
    """What one patient gives; statistics of several add up.

    Args:
        scans: The patient's scans; their scores are logits.
        loss: The sum of the training loss over the scans' candidates.
        candidates: How many these are.
        drawn: How often the patient is drawn in each replicate; without it no interval comes out.
    """
    fine = {
        "hits": histogram([score for s in scans for score in s.hits]),
        "false": histogram([score for s in scans for score in s.false]),
    }
    counts = {"nodules": sum(s.nodules for s in scans), "scans": len(scans)}
    stats: dict[str, Array] = {
        **fine,
        **{name: np.array([float(count)]) for name, count in counts.items()},
        "loss": np.array([loss]),
        "candidates": np.array([float(candidates)]),
        "patients": np.array(1.0),
    }
    if drawn is not None:
        times = drawn.astype(np.int32)
        for name, values in fine.items():
            coarse = values.reshape(COARSE, -1).sum(axis=1, dtype=np.int32)
            stats[f"drawn_{name}"] = times[:, None] * coarse
        for name, count in counts.items():
            stats[f"drawn_{name}"] = times * np.int32(count)
    return stats


def histogram(logits: Sequence[float]) -> NDArray[np.int32]:
    """Scores by bin."""
    place = np.floor((np.asarray(logits, np.float64) + SPAN) * (BINS / (2 * SPAN)))
    bins = np.clip(place, 0, BINS - 1).astype(np.int64)
    return np.bincount(bins, minlength=BINS).astype(np.int32)


def detection_metrics(total: Stats, *, intervals: bool = False) -> dict[str, Interval]:
    """The figures of summed statistics; those that are undefined are left out."""
    if not total or not float(np.sum(total.get("scans", 0.0))):
        return {}
    values = figures({name: np.asarray(value)[None] for name, value in total.items()})
    spread = _drawn(total) if intervals and "drawn_hits" in total else {}
    return {
        name: _interval(float(values[name][0]), spread.get(name))
        for name in HIGHER_IS_BETTER
        if np.isfinite(values[name][0])
    }


def figures(totals: Stats) -> dict[str, Array]:
    """The figures of many totals at once, without intervals; NaN where one is undefined.

    Args:
        totals: Summed `patient_stats`, each with one more axis in front.
    """
    nodules, scans, loss, candidates = (
        np.asarray(totals[name], np.float64)[:, 0] for name in (*_COUNTS, "loss", "candidates")
    )
    found = _froc_figures(totals["hits"], totals["false"], nodules, scans)
    return {**found, "loss": _ratio(loss, candidates)}


def cpm_error(total: Stats) -> float:
    """At most how far the CPM may lie from that of the unbinned scores.

    0 where no bin holds both hits and false positives. Scores beyond the grid share its outermost
    bins, and are covered too.
    """
    nodules, scans = (float(np.sum(total[name])) for name in _COUNTS)
    orders: tuple[Order, ...] = ("worst", "tied", "best")
    low, value, high = (
        float(np.mean(sensitivities(total["hits"], total["false"], nodules, scans, order)))
        for order in orders
    )
    return max(value - low, high - value)


def _froc_figures(hits: Array, false: Array, nodules: Array, scans: Array) -> dict[str, Array]:
    rows = [sensitivities(*row) for row in zip(hits, false, nodules, scans, strict=True)]
    table = np.array(rows).reshape(-1, len(RATES))
    found: dict[str, Array] = {"cpm": table.mean(axis=1)}
    found |= dict(zip(AT_RATES, table.T, strict=True))
    return {**found, "reach": _ratio(np.sum(hits, axis=1), nodules)}


def _drawn(total: Stats) -> dict[str, Array]:
    """By how much each replicate differs from the sums on the replicates' own bins."""
    names = ("hits", "false", *_COUNTS)
    hits, false, nodules, scans = (np.asarray(total[f"drawn_{n}"], np.float64) for n in names)
    replicates = _froc_figures(hits, false, nodules, scans)
    coarse = [np.asarray(total[n]).reshape(1, COARSE, -1).sum(axis=2) for n in ("hits", "false")]
    counts = [np.asarray(total[n], np.float64).reshape(1) for n in _COUNTS]
    middle = _froc_figures(coarse[0], coarse[1], counts[0], counts[1])
    return {name: drawn - middle[name] for name, drawn in replicates.items()}


def _interval(value: float, spread: NDArray[Any] | None) -> Interval:
    known = np.empty(0) if spread is None else spread[np.isfinite(spread)]
    if not known.size:
        return Interval(value)
    low, high = (float(bound) for bound in np.quantile(known, (0.025, 0.975)))
    return Interval(value, max(0.0, value + low), min(1.0, value + high))


def _ratio(part: Array, whole: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = np.where(whole > 0, part / whole, np.nan)
    return ratio
