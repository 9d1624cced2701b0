"""The copy of a scan that a browser loads: the lungs with a margin, and the marks on them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medfed.imaging.geometry import Geometry, Triple
from medfed.imaging.lungs import lung_mask
from medfed.imaging.orientation import upright
from medfed.imaging.prediction import Box, cropped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.imaging.geometry import Volume

CT, MARKS = "view-ct.nii.gz", "view-marks.nii.gz"
MARGIN_MM = 25.0
"""Around the lungs: with the chest wall."""
MOST_VOXELS = 64_000_000
"""A browser holds them several times over; of larger scans it gets every second slice."""


def write_view(folder: Path, volume: "Volume", labels: "NDArray[np.uint8]") -> None:
    """Write what the viewer loads.

    Args:
        folder: Where to.
        volume: The scan.
        labels: The findings' numbers on its grid.
    """
    from medfed.inference.nifti import write_ct

    turn = upright(volume.geometry)
    standing, marks = turn.volume(volume), turn.view(labels)
    box = _box(lung_mask(standing) | (marks > 0), standing.spacing_mm)
    grid = cropped(standing.geometry, box)
    step = -(-int(np.prod(grid.shape)) // MOST_VOXELS)
    hu = np.clip(standing.hu[box][::step], -1024, 3071)
    thin = _thinned(grid, step)
    write_ct(folder / CT, hu, thin)
    write_ct(folder / MARKS, marks[box][::step].astype(np.int16), thin)


def _box(inside: "NDArray[np.bool_]", spacing_mm: Triple) -> Box:
    """Where anything is, with a margin; everything where there is nothing."""
    if not inside.any():
        z, y, x = (slice(0, n) for n in inside.shape)
        return z, y, x
    spans = []
    for axis, spacing in enumerate(spacing_mm):
        others = tuple(a for a in range(3) if a != axis)
        there = np.flatnonzero(inside.any(axis=others))
        margin = int(np.ceil(MARGIN_MM / spacing))
        spans.append(
            slice(max(0, there[0] - margin), min(inside.shape[axis], there[-1] + 1 + margin))
        )
    z, y, x = spans
    return z, y, x


def _thinned(grid: Geometry, step: int) -> Geometry:
    """The grid of every ``step``-th slice."""
    z, y, x = grid.shape
    dz, dy, dx = grid.spacing_mm
    return Geometry((-(-z // step), y, x), (dz * step, dy, dx), grid.origin_mm, grid.direction)
