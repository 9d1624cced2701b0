"""From a map of probabilities to things that may be nodules: pieces, and one mark for each place.

Pieces are connected through faces, edges and corners (26 neighbours), by connected-components-3d
(Silversmith, doi:10.5281/zenodo.5535250). Marks of one place are joined by the distance of their
centres, as candidates of several detectors are in Setio et al., IEEE TMI 35(5), 2016: the most
probable stands for those around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from medfed.imaging.geometry import Triple

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Candidate:
    """One connected piece of what a network marked.

    Attributes:
        label: its number in the label array of `labelled`, from 1.
        centre_zyx: mean voxel index, weighted by probability, ``(z, y, x)``.
        centre_mm: the same times the spacing: mm from voxel 0 along the grid's own axes.
        probability: of its most probable voxel; the score.
        mean_probability: over its voxels.
        voxels: how many it has.
        volume_mm3: the volume of these.
        box: the smallest box that holds it.
    """

    label: int
    centre_zyx: Triple
    centre_mm: Triple
    probability: float
    mean_probability: float
    voxels: int
    volume_mm3: float
    box: Box

    @property
    def diameter_mm(self) -> float:
        """Of the sphere of the same volume."""
        return math.cbrt(6.0 * self.volume_mm3 / math.pi)


def candidates(
    probability: NDArray[np.floating],
    spacing_mm: Triple,
    threshold: float,
    smallest_mm3: float = 0.0,
) -> list[Candidate]:
    """The connected pieces of at least some probability, the most probable first.

    Args:
        probability: shape ``(z, y, x)``, from 0 to 1.
        spacing_mm: along ``(z, y, x)``, mm.
        threshold: voxels of this probability and more count; above 0.
        smallest_mm3: smaller pieces are left out.

    Raises:
        ValueError: the array is no volume, or the threshold is not above 0.
    """
    return labelled(probability, spacing_mm, threshold, smallest_mm3)[0]


def labelled(
    probability: NDArray[np.floating],
    spacing_mm: Triple,
    threshold: float,
    smallest_mm3: float = 0.0,
) -> tuple[list[Candidate], NDArray[np.uint32]]:
    """`candidates`, and an array that holds each one's ``label`` at its voxels.

    The array also holds the pieces that are left out for their size; 0 is below the threshold.
    """
    import cc3d

    if probability.ndim != 3:
        raise ValueError(f"a volume has three axes, not {probability.ndim}")
    if not threshold > 0:
        raise ValueError(f"the threshold is above 0, not {threshold}")
    # A NaN is no probability: it compares as False, and so is never part of a piece.
    marked = np.ascontiguousarray(probability >= threshold)
    if not marked.any():
        return [], np.zeros(probability.shape, np.uint32)
    # In volumes one voxel thin cc3d makes too little room for its labels: they get a margin.
    wide = np.pad(marked, [(0, int(n == 1)) for n in marked.shape])
    labels = cc3d.connected_components(
        wide, connectivity=26, binary_image=True, out_dtype=np.uint32
    )
    labels = labels[tuple(slice(n) for n in marked.shape)]
    voxel = math.prod(spacing_mm)
    found = _measured(probability, labels, np.asarray(spacing_mm, np.float64), voxel)
    kept = [c for c in found if c.volume_mm3 >= smallest_mm3]
    return sorted(kept, key=_rank), labels


def suppressed(candidates: Iterable[Candidate], distance_mm: float) -> list[Candidate]:
    """Greedy non-maximum suppression by distance of centres.

    The most probable candidate stays, those closer to it than ``distance_mm`` go, and so on with
    the rest. Of the same probability the larger comes first.

    Returns:
        What stays, the most probable first; no two are closer than ``distance_mm``.

    Raises:
        ValueError: the distance is negative.
    """
    if not distance_mm >= 0:
        raise ValueError(f"a distance is not negative, unlike {distance_mm}")
    ranked = sorted(candidates, key=_rank)
    centres = np.array([c.centre_mm for c in ranked], np.float64).reshape(-1, 3)
    alive = np.ones(len(ranked), bool)
    kept = []
    for place, candidate in enumerate(ranked):
        if alive[place]:
            kept.append(candidate)
            alive &= np.linalg.norm(centres - centres[place], axis=1) >= distance_mm
    return kept


def _rank(candidate: Candidate) -> tuple[float, int, Triple]:
    """The order of candidates: probable, then large, then by place, so that it is always one."""
    return (-candidate.probability, -candidate.voxels, candidate.centre_zyx)


def _measured(
    probability: NDArray[np.floating],
    labels: NDArray[np.uint32],
    spacing: NDArray[np.float64],
    voxel_mm3: float,
) -> list[Candidate]:
    inside = np.flatnonzero(labels)
    owner = labels.ravel()[inside]
    order = np.argsort(owner, kind="stable")
    inside, owner = inside[order], owner[order]
    first = np.flatnonzero(np.diff(owner, prepend=0))  # where each piece begins
    weight = probability.ravel()[inside].astype(np.float64)
    index = np.stack(np.unravel_index(inside, labels.shape), axis=1)
    counts = np.diff(first, append=len(owner))
    sums = np.add.reduceat(weight, first)
    centres = np.add.reduceat(index * weight[:, None], first) / sums[:, None]
    low, high = np.minimum.reduceat(index, first), np.maximum.reduceat(index, first) + 1
    peaks = np.maximum.reduceat(weight, first)
    return [
        Candidate(
            label=int(owner[start]),
            centre_zyx=_triple(centres[n]),
            centre_mm=_triple(centres[n] * spacing),
            probability=float(peaks[n]),
            mean_probability=float(sums[n] / counts[n]),
            voxels=int(counts[n]),
            volume_mm3=float(counts[n] * voxel_mm3),
            box=_box(low[n], high[n]),
        )
        for n, start in enumerate(first)
    ]


def _triple(values: NDArray[np.float64]) -> Triple:
    z, y, x = values.tolist()
    return z, y, x


def _box(low: NDArray[np.int64], high: NDArray[np.int64]) -> Box:
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x
