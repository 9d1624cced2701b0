"""A look at a scan before it is imported: grid, values, picture, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.connectors.dicom import find_series
from medfed.connectors.scans import ReadScan, ScanError, read_scan
from medfed.imaging.geometry import Geometry
from medfed.imaging.pictures import lettered, montage, slice_rgb
from medfed.imaging.resample import resample_to

if TYPE_CHECKING:
    from pathlib import Path

    from medfed.connectors.dicom import SeriesSummary
    from medfed.imaging.geometry import Volume

EDGES = tuple(range(-1050, 3101, 50))
"""Of the histogram; what lies beyond counts in the first and last bin."""

TISSUES = {
    "outside the scan": (-32768, -1050),
    "air": (-1050, -950),
    "lung": (-950, -600),
    "fat": (-150, -30),
    "water and soft tissue": (-30, 100),
    "bone and contrast": (100, 2000),
    "metal": (2000, 32768),
}
"""Rough ranges of Hounsfield units, for a first impression only."""

PICTURE_MM = 1.5
MOST_PIXELS = 400
"""Along any side of a picture."""


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was found.

    Attributes:
        series: every DICOM series there; empty for other forms.
        scan: the one that would be read; None where none can be.
        problem: why not; None where it can.
    """

    series: tuple[SeriesSummary, ...]
    scan: ReadScan | None
    problem: ScanError | None

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "schema": 1,
            "series": [_series(one) for one in self.series],
            "problem": _problem(self.problem) if self.problem else None,
            "scan": _scan(self.scan) if self.scan else None,
        }


def inspect_scan(path: Path, series_uid: str | None = None) -> Inspection:
    """Read whatever is there, and say what it is.

    Args:
        path: a file, folder or zip, as `medfed.connectors.scans.read_scan` takes it.
        series_uid: which DICOM series.

    Raises:
        ScanError: there is no such path.
    """
    if not path.exists():
        remedy = "Check how the path is spelt."
        raise ScanError("missing-file", "there is no such file or folder", remedy=remedy)
    try:
        series = find_series(path)
    except ScanError:
        series = ()
    try:
        return Inspection(series, read_scan(path, series_uid), None)
    except ScanError as error:
        return Inspection(series, None, error)


def histogram(volume: Volume) -> dict[str, Any]:
    """Voxels by Hounsfield units: edges and counts, extremes, mean and percentiles."""
    hu = volume.hu.ravel()
    counts, _ = np.histogram(np.clip(hu, EDGES[0], EDGES[-1]), bins=EDGES)
    points = (1, 5, 25, 50, 75, 95, 99)
    return {
        "edges": list(EDGES),
        "counts": counts.tolist(),
        "least": int(hu.min()),
        "greatest": int(hu.max()),
        "mean": float(hu.mean(dtype=np.float64)),
        "percentiles": dict(zip(map(str, points), _percentiles(hu, points), strict=True)),
        "shares": {name: _share(hu, low, high) for name, (low, high) in TISSUES.items()},
    }


def picture(volume: Volume) -> bytes:
    """A PNG of the middle of a scan: axial, coronal and sagittal, in the lung's window.

    The three are cut from an upright grid, however the scan lies: the patient's left is at the
    right, the back below in the axial one, the head on top in the others. Letters say so: right and
    left, anterior and posterior, head and feet.
    """
    grid = _upright(volume.geometry)
    hu = resample_to(volume, grid).hu
    z, y, x = (n // 2 for n in hu.shape)
    views = ((hu[z], "RLAP"), (hu[::-1, y], "RLHF"), (hu[::-1, :, x], "APHF"))
    return montage([lettered(slice_rgb(view, scale=2), *sides) for view, sides in views], columns=3)


def _upright(grid: Geometry) -> Geometry:
    """Cubes along the patient's axes that cover a grid."""
    far = np.asarray(grid.shape) - 1
    corners = np.array([[z, y, x] for z in (0, far[0]) for y in (0, far[1]) for x in (0, far[2])])
    world = grid.to_world(corners)
    low, size = world.min(axis=0), np.ptp(world, axis=0)
    step = max(PICTURE_MM, float(size.max()) / MOST_PIXELS)
    x, y, z = (max(1, int(n / step) + 1) for n in size)
    return Geometry((z, y, x), (step, step, step), (low[0], low[1], low[2]))


def _share(hu: Any, low: int, high: int) -> float:
    return float(np.count_nonzero((hu >= low) & (hu < high)) / hu.size)


def _percentiles(hu: Any, points: tuple[int, ...]) -> list[int]:
    """Exact, by counting: a CT has few different values and many voxels."""
    low = int(hu.min())
    counts = np.bincount(hu.astype(np.int32) - low)
    ranks = np.asarray(points) / 100 * (hu.size - 1)
    return [int(v) + low for v in np.searchsorted(np.cumsum(counts), ranks, side="right")]


def _scan(scan: ReadScan) -> dict[str, Any]:
    grid = scan.volume.geometry
    return {
        "form": scan.form,
        "series": scan.series.uid if scan.series else None,
        "shape_zyx": list(grid.shape),
        "spacing_mm_zyx": list(grid.spacing_mm),
        "origin_mm_xyz": list(grid.origin_mm),
        "direction": [list(row) for row in grid.direction],
        "extent_mm_zyx": list(grid.extent_mm),
        "notes": list(scan.notes),
        "hu": histogram(scan.volume),
    }


def _series(one: SeriesSummary) -> dict[str, Any]:
    return {
        "uid": one.uid,
        "modality": one.modality,
        "description": one.description,
        "slices": one.slices,
        "spacing_mm_zyx": list(one.spacing_mm) if one.spacing_mm else None,
        "usable": one.usable,
        "problems": [_problem(p) for p in one.problems],
    }


def _problem(found: Any) -> dict[str, str]:
    return {"name": found.name, "message": found.message, "remedy": found.remedy}


def bars(counts: list[int], edges: list[int], width: int = 40) -> list[str]:
    """A histogram in text: a line for every 200 HU that holds anything."""
    starts = range(0, len(counts), 4)
    rows = [(edges[start], sum(counts[start : start + 4])) for start in starts]
    shown = [row for row in rows if row[1]]
    most = max(count for _, count in shown)
    ends = dict(pairwise([row[0] for row in rows] + [edges[-1]]))
    return [
        f"{low:6} … {ends[low]:5}  {'█' * max(1, round(width * count / most)):<{width}} "
        f"{count / sum(counts):6.1%}"
        for low, count in shown
    ]
