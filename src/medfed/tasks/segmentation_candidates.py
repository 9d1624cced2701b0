"""The candidates that a model's marks amount to, and which of them touch a nodule."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from medfed.core.update import Stats, add_stats
from medfed.imaging.candidates import labelled, suppressed
from medfed.tasks.calibration import counted
from medfed.tasks.segmentation_cases import Prepared

SMALLEST_MM = 3.0
APART_MM = 5.0
MOST = 1000
"""What counts as a candidate, as `medfed.inference.predictor.Rules` has it: the curve is for its
findings. A model that has not learned marks everything; the best thousand tell that well enough."""

Predicted = tuple[Prepared, NDArray[np.float32]]


def candidate_stats(patient: Iterable[Predicted], threshold: float) -> Stats:
    """The candidates of one patient's scans, counted by score.

    Args:
        patient: Each scan with the probabilities of its box.
        threshold: The probability from which a voxel is marked.
    """
    counts = [_counts(case, probability, threshold) for case, probability in patient]
    return {**add_stats(counts), "patients": np.array(1.0)}


def _counts(case: Prepared, probability: NDArray[np.float32], threshold: float) -> Stats:
    smallest = np.pi / 6 * SMALLEST_MM**3
    found, labels = labelled(probability, case.grid.spacing_mm, threshold, float(smallest))
    kept = suppressed(found[:MOST], APART_MM)
    hits = [bool((case.truth[c.box] > 0)[labels[c.box] == c.label].any()) for c in kept]
    return counted([c.probability for c in kept], hits)
