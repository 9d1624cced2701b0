"""Figures of binary classification from statistics that add up over sites.

What a site gives is a histogram of its patients' scores per label, on one public grid: 1,024 bins
uniform in the logit from −16 to 16 (scores beyond fall into the outermost bins), with the
threshold ½ exactly on an edge. So accuracy, sensitivity and specificity are exact. The loss and
the Brier score are exact too: their sums travel beside the histogram. In the AUC the pairs of one
positive and one negative patient that share a bin count half, as ties do: it differs from the AUC
of the unbinned scores by at most half the share of such pairs, see `auc_error`.

A histogram of few patients says nearly as much as their scores would. Rules against small cells
belong to the site, which may refuse or coarsen what leaves it.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from medfed.core.seeding import generator
from medfed.core.task import Interval
from medfed.core.update import Array, Stats

BINS = 1024
SPAN = 16.0
DRAWS = 1000
Z = 1.959963984540054
"""The standard normal distribution's 97.5th percentile."""
DRAWN_AT_ONCE = 50
"""Redrawn histograms held in memory together."""

_COARSE = tuple(int((z + SPAN) * BINS / (2 * SPAN)) for z in (-4, -2, -1, 0, 1, 2, 4))
"""Where coarse bins end, in logits: fine near ½, where most scores are and thresholds lie."""

Counts = NDArray[np.float64]
"""Patients by (…, label, bin)."""

HIGHER_IS_BETTER: Mapping[str, bool] = MappingProxyType(
    {
        "auc": True,
        "accuracy": True,
        "sensitivity": True,
        "specificity": True,
        "brier": False,
        "loss": False,
    }
)


def bin_of(logits: Array, bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each score."""
    scaled = np.floor((np.asarray(logits, np.float64) + SPAN) * (bins / (2 * SPAN)))
    return np.clip(scaled, 0, bins - 1).astype(np.int64)


def histogram(logits: Array, labels: Array, bins: int = BINS) -> NDArray[np.int32]:
    """Patients by label and bin."""
    cells = bin_of(logits, bins) + bins * (np.asarray(labels) > 0)
    counts = np.bincount(cells, minlength=2 * bins).astype(np.int32)
    return counts.reshape(2, bins)


def score_stats(logits: Array, labels: Array) -> Stats:
    """What a site gives: the histogram, and the sums of loss and squared error.

    Args:
        logits: One score per patient.
        labels: 1 for the positive class, 0 for the other.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.float64)
    return {
        "scores": histogram(logits, labels),
        "loss": np.array([_loss(logits, labels).sum()]),
        "brier": np.array([((_sigmoid(logits) - labels) ** 2).sum()]),
    }


def classification_metrics(total: Stats, *, intervals: bool = False) -> dict[str, Interval]:
    """The figures of summed statistics; those that are undefined are left out.

    Intervals: of shares (accuracy, sensitivity, specificity) Wilson's score interval (JASA 22,
    1927), which is sound for few patients and where all were right. For the others patients are
    drawn again 1,000 times, with replacement, from the pooled histogram (a multinomial over label
    and bin), which for the AUC is the patient bootstrap exactly. For loss and Brier score each
    patient stands in the middle of a bin while being redrawn, and the spread is put around the
    exact value. The draws are seeded: the same counts give the same interval; where all are alike
    they tell nothing, and there is none. The model is taken as given; the spread over training
    seeds is another matter.
    """
    counts = np.asarray(total.get("scores", np.zeros((2, BINS))), np.float64)
    patients = counts.sum()
    if patients <= 0:
        return {}
    values = _figures(counts[None])
    for name in ("loss", "brier"):
        values[name] = np.asarray(total[name], np.float64) / patients
    exact = "noised" not in total  # with noise in the counts, redrawing patients tells little
    drawn = _drawn_figures(counts) if intervals and exact else {}
    shares = _shares(counts) if drawn else {}
    found = {}
    for name in HIGHER_IS_BETTER:
        value = float(values[name][0])
        if not exact:
            value = float(np.clip(value, 0.0, np.inf if name == "loss" else 1.0))
        if np.isfinite(value):
            share = [round(float(n)) for n in shares.get(name, ())]
            found[name] = wilson(*share) if share else _interval(name, value, drawn)
    return found


def wilson(right: int, of: int) -> Interval:
    """A share with Wilson's score interval; see `classification_metrics`.

    Written out: the package that has it, SciPy's statistics, costs each run a fifth of its memory.
    """
    share, spread = right / of, Z**2 / of
    middle = share + spread / 2
    half = math.sqrt(spread * (share * (1 - share) + spread / 4))
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return Interval(share, low if right else 0.0, high if right < of else 1.0)


def figures(totals: Stats) -> dict[str, Array]:
    """The figures of many totals at once, without intervals; NaN where one is undefined.

    Args:
        totals: As `score_stats` gives them, each with one more axis in front.
    """
    counts = np.asarray(totals["scores"], np.float64)
    patients = counts.sum(axis=(1, 2))
    sums = {name: np.asarray(totals[name])[:, 0] for name in ("loss", "brier")}
    return {**_figures(counts), **{name: _ratio(sum_, patients) for name, sum_ in sums.items()}}


def coarse_counts(stats: Stats) -> Array:
    """Patients by label and one of eight score bins, shape (2, 8): what little noise can bear."""
    fine = np.asarray(stats.get("scores", np.zeros((2, BINS))), np.float64)
    return np.stack([part.sum(axis=1) for part in np.split(fine, _COARSE, axis=1)], axis=1)


def from_coarse(counts: Array) -> Stats:
    """What `score_stats` gives, each patient in the middle of a coarse bin.

    Args:
        counts: As `coarse_counts` gives them, perhaps with noise.
    """
    counts = np.asarray(counts, np.float64)
    edges = np.array([0, *_COARSE, BINS])
    middles = (edges[:-1] + edges[1:]) // 2
    fine = np.zeros((2, BINS))
    fine[:, middles] = counts
    sums = {name: np.array([fine.ravel() @ by]) for name, by in _cell_values(BINS).items()}
    return {"scores": fine, "noised": np.array([1.0]), **sums}


def auc(counts: Counts) -> Array:
    """The area under the ROC curve of each histogram, NaN where a class is absent."""
    negative, positive = counts[..., 0, :], counts[..., 1, :]
    below = np.cumsum(negative, axis=-1) - negative
    pairs = negative.sum(axis=-1) * positive.sum(axis=-1)
    won = (positive * (below + 0.5 * negative)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        area: Array = np.where(pairs > 0, won / pairs, np.nan)
    return area


def auc_error(total: Stats) -> float:
    """At most how far the AUC may lie from that of the unbinned scores (which may have ties)."""
    counts = np.asarray(total["scores"], np.float64)
    pairs = counts[0].sum() * counts[1].sum()
    return float(0.5 * (counts[0] * counts[1]).sum() / pairs) if pairs else 0.0


def _figures(counts: Counts) -> dict[str, Array]:
    """Figures of many histograms at once, NaN where undefined."""
    return {
        "auc": auc(counts),
        **{name: _ratio(*share) for name, share in _shares(counts).items()},
    }


def _shares(counts: Counts) -> dict[str, tuple[Array, Array]]:
    """Of each figure that is a share: how many are right, and of how many."""
    half = counts.shape[-1] // 2
    negative, positive = counts[..., 0, :].sum(axis=-1), counts[..., 1, :].sum(axis=-1)
    true_negative = counts[..., 0, :half].sum(axis=-1)
    true_positive = counts[..., 1, half:].sum(axis=-1)
    return {
        "accuracy": (true_negative + true_positive, negative + positive),
        "sensitivity": (true_positive, positive),
        "specificity": (true_negative, negative),
    }


def _drawn_figures(counts: Counts) -> dict[str, Array]:
    """Figures of `DRAWS` histograms of redrawn patients, centred where the value is exact."""
    patients = round(counts.sum())
    cells = np.flatnonzero(counts.ravel())
    shares = counts.ravel()[cells] / counts.sum()
    rng = generator(0, "bootstrap", patients)
    values = {name: by[cells] for name, by in _cell_values(counts.shape[-1]).items()}
    parts = []
    for _ in range(DRAWS // DRAWN_AT_ONCE):
        drawn = rng.multinomial(patients, shares / shares.sum(), size=DRAWN_AT_ONCE)
        whole = np.zeros((DRAWN_AT_ONCE, counts.size))
        whole[:, cells] = drawn
        means = {name: drawn @ value / patients - shares @ value for name, value in values.items()}
        parts.append({**_figures(whole.reshape(DRAWN_AT_ONCE, 2, -1)), **means})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _cell_values(bins: int) -> dict[str, Array]:
    """Loss and squared error in the middle of each (label, bin)."""
    logits = (np.arange(bins) + 0.5) * (2 * SPAN / bins) - SPAN
    logits, labels = np.tile(logits, 2), np.repeat([0.0, 1.0], bins)
    return {"loss": _loss(logits, labels), "brier": (_sigmoid(logits) - labels) ** 2}


def _interval(name: str, value: float, drawn: Mapping[str, Array]) -> Interval:
    draws = drawn.get(name, np.empty(0))
    draws = draws[np.isfinite(draws)]
    if not draws.size or draws.min() == draws.max():
        return Interval(value)
    low, high = (float(bound) for bound in np.quantile(draws, (0.025, 0.975)))
    if name in ("loss", "brier"):
        low, high = max(0.0, value + low), value + high
    return Interval(value, low, high)


def _ratio(part: Array, whole: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = np.where(whole > 0, part / whole, np.nan)
    return ratio


def _loss(logits: Array, labels: Array) -> Array:
    loss: Array = np.logaddexp(0.0, logits) - labels * logits
    return loss


def _sigmoid(logits: Array) -> Array:
    half: Array = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return half
