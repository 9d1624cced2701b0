"""Figures of a segmentation from statistics that add up over sites.

What a site gives is sums over its patients and a histogram of the patients' Dice on one public
grid of 1,000 bins from 0 to 1. The mean Dice is exact, from its sum; its interval comes from the
histogram: patients are drawn again 1,000 times, each standing in the middle of a bin, and the
spread is put around the exact value (the bins are 0.001 wide). A histogram of few patients says
nearly as much as their figures would; rules against small cells belong to the site.

A patient without a nodule has no Dice: 0/0. Such patients are left out of ``dice``, and count in
``false_positives`` and ``loss``. A model that marks nothing thus has a Dice of exactly 0. A patient
with several scans is one patient: voxels, nodules and findings of the scans are added first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from medfed.core.seeding import generator
from medfed.core.task import Interval
from medfed.core.update import Array, Stats

BINS = 1000
DRAWS = 1000

HIGHER_IS_BETTER: Mapping[str, bool] = MappingProxyType(
    {
        "dice": True,
        "pooled_dice": True,
        "sensitivity": True,
        "false_positives": False,
        "loss": False,
    }
)

_SUMS = ("dice", "positive", "both", "either", "nodules", "found", "false", "loss")


@dataclass(frozen=True)
class Overlap:
    """How truth and prediction of one scan or patient agree.

    Attributes:
        both: Voxels in truth and prediction.
        truth: Voxels of the truth.
        predicted: Voxels of the prediction.
        nodules: Connected pieces of the truth.
        found: Those of them that the prediction touches.
        false: Connected pieces of the prediction that touch no truth.
        loss: The training loss on the whole scan.
        scans: How many scans were added up.
    """

    both: float
    truth: float
    predicted: float
    nodules: float
    found: float
    false: float
    loss: float
    scans: float = 1.0

    def __add__(self, other: "Overlap") -> "Overlap":
        mine, others = vars(self), vars(other)
        return Overlap(**{name: mine[name] + others[name] for name in mine})

    @property
    def dice(self) -> float | None:
        """Twice the shared voxels over all; None where there is no truth."""
        return 2 * self.both / (self.truth + self.predicted) if self.truth else None


def overlap(truth: Array, predicted: Array, loss: float = 0.0, missed: float = 0.0) -> Overlap:
    """Compare two masks of one scan.

    Args:
        truth: Non-zero inside, shape (z, y, x).
        predicted: The same for the prediction.
        loss: The loss to carry along.
        missed: Voxels of truth outside these arrays, which nobody can find.
    """
    from scipy import ndimage

    truth, predicted = np.asarray(truth) > 0, np.asarray(predicted) > 0
    touching = np.ones((3, 3, 3), bool)
    nodules, count = ndimage.label(truth, touching)
    pieces, predictions = ndimage.label(predicted, touching)
    both = truth & predicted
    return Overlap(
        both=float(both.sum()),
        truth=float(truth.sum()) + missed,
        predicted=float(predicted.sum()),
        nodules=float(count),
        found=float(len(np.unique(nodules[both]))),
        false=float(predictions - len(np.unique(pieces[both]))),
        loss=loss,
    )


def patient_stats(patient: Overlap) -> Stats:
    """What one patient gives; statistics of several add up."""
    dice = patient.dice
    sums = {
        "dice": dice or 0.0,
        "positive": float(dice is not None),
        "both": patient.both,
        "either": patient.truth + patient.predicted,
        "nodules": patient.nodules,
        "found": patient.found,
        "false": patient.false / patient.scans,
        "loss": patient.loss / patient.scans,
    }
    histogram = np.zeros(BINS, np.int32)
    if dice is not None:
        histogram[min(int(dice * BINS), BINS - 1)] = 1
    stats: dict[str, Array] = {name: np.array([sums[name]]) for name in _SUMS}
    return {**stats, "patients": np.array(1.0), "histogram": histogram}


def figures(totals: Stats) -> dict[str, Array]:
    """The figures of many totals at once, without intervals; NaN where one is undefined.

    Args:
        totals: Summed `patient_stats`, each with one more axis in front.
    """
    sums = {name: np.asarray(totals[name], np.float64)[:, 0] for name in _SUMS}
    patients = np.asarray(totals["patients"], np.float64)
    return {
        "dice": _ratio(sums["dice"], sums["positive"]),
        "pooled_dice": _ratio(2 * sums["both"], np.where(sums["nodules"] > 0, sums["either"], 0)),
        "sensitivity": _ratio(sums["found"], sums["nodules"]),
        "false_positives": _ratio(sums["false"], patients),
        "loss": _ratio(sums["loss"], patients),
    }


def segmentation_metrics(total: Stats, *, intervals: bool = False) -> dict[str, Interval]:
    """The figures of summed statistics; those that are undefined are left out."""
    if not total or not float(np.sum(total.get("patients", 0.0))):
        return {}
    values = figures({name: np.asarray(value)[None] for name, value in total.items()})
    known = {k: Interval(float(v[0])) for k, v in values.items() if np.isfinite(v[0])}
    if intervals and "dice" in known:
        known["dice"] = _dice_interval(known["dice"].value, np.asarray(total["histogram"]))
    return known


def _dice_interval(value: float, histogram: NDArray[np.int32]) -> Interval:
    counts = np.asarray(histogram, np.float64)
    patients = round(counts.sum())
    cells = np.flatnonzero(counts)
    if cells.size < 2:  # patients who are all alike tell nothing of others
        return Interval(value)
    middles = (cells + 0.5) / BINS
    shares = counts[cells] / counts.sum()
    rng = generator(0, "bootstrap", patients)
    drawn = rng.multinomial(patients, shares, size=DRAWS) @ middles / patients
    low, high = np.quantile(drawn - shares @ middles, (0.025, 0.975))
    return Interval(value, max(0.0, value + float(low)), min(1.0, value + float(high)))


def _ratio(part: Array, whole: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = np.where(whole > 0, part / whole, np.nan)
    return ratio
