"""From planes to one grid: their order, their spacing, and what stands against it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.scans.problems import ScanProblem, problem
from medfed.imaging.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from medfed.connectors.dicom.planes import Plane
    from medfed.imaging.geometry import Triple

LARGEST_VOXELS = 2**30
SAME_PLACE_MM = 0.01
UNEVEN = 0.05
"""Of the spacing: how far a slice may lie from its even place."""

ROUNDED_MM = 0.055
"""What is allowed in any case: some headers round positions to a tenth of a mm."""

DRIFT_MM = 0.25
"""What the last slice may lie beside the first. More is a tilted gantry."""

EXACT_MM = 0.01
SAME_DIRECTION = 1e-4


@dataclass(frozen=True, eq=False)
class Grid:
    """Planes in the order of the volume's z axis.

    Attributes:
        planes: sorted along their normal, so that the index axes are right-handed.
        spacing_mm: along ``(z, y, x)``; z is the median distance where it is uneven, and 0 where
            it is unknown.
        geometry: None where the planes make no even grid.
        problems: what stands against it.
        notes: what was corrected, in sentences.
    """

    planes: tuple[Plane, ...]
    spacing_mm: Triple
    geometry: Geometry | None
    problems: tuple[ScanProblem, ...]
    notes: tuple[str, ...]


def arrange(planes: Sequence[Plane]) -> Grid:
    """Order planes and find their common grid.

    Args:
        planes: at least one, in any order.
    """
    alike, odd = _alike(planes)
    found = [_mixed(odd, len(planes))] if odd else []
    first = alike[0]
    normal = np.cross(first.across, first.down)
    places = np.array([p.position for p in alike])
    order = np.argsort(places @ normal, kind="stable")
    alike, places = [alike[i] for i in order], places[order]
    heights = places @ normal
    gaps = np.diff(heights)
    distinct = np.sort(gaps[gaps > SAME_PLACE_MM])
    # The lower median: of two distances, the longer one is where a slice is missing.
    step = float(distinct[(distinct.size - 1) // 2]) if distinct.size else 0.0
    spacing = (step, *first.spacing)
    if not distinct.size:
        found.append(problem("duplicate-slices" if len(alike) > 1 else "single-slice"))
        return Grid(tuple(alike), spacing, None, tuple(found), ())
    found += _uneven(alike, gaps, step)
    if not found:
        even = float(heights[-1] - heights[0]) / (len(alike) - 1)
        ideal = heights[0] + even * np.arange(len(alike))
        off = float(np.abs(heights - ideal).max())
        drift = _drift(places, heights, normal)
        if off > max(UNEVEN * even, ROUNDED_MM):
            found.append(problem("uneven-spacing"))
        elif drift > DRIFT_MM:
            found.append(_aslant(places, heights, normal))
        else:
            notes = _rounding(max(off, drift))
            return _checked_size(tuple(alike), (even, *first.spacing), normal, notes)
    return Grid(tuple(alike), spacing, None, tuple(found), ())


def _checked_size(
    planes: tuple[Plane, ...], spacing: Triple, normal: NDArray[np.float64], notes: tuple[str, ...]
) -> Grid:
    first = planes[0]
    shape = (len(planes), first.layout.rows, first.layout.columns)
    if shape[0] * shape[1] * shape[2] > LARGEST_VOXELS:
        return Grid(planes, spacing, None, (problem("too-large"),), ())
    rows = np.stack([first.across, first.down, normal], axis=1).tolist()
    direction = (tuple(rows[0]), tuple(rows[1]), tuple(rows[2]))
    geometry = Geometry(shape, spacing, first.position, direction)
    return Grid(planes, spacing, geometry, (), notes)


def _alike(planes: Sequence[Plane]) -> tuple[list[Plane], list[Plane]]:
    """The planes of the commonest size, direction and pixel spacing; and the others."""

    def kind(plane: Plane) -> tuple[object, ...]:
        layout = plane.layout
        cosines = (*plane.across, *plane.down)
        return (
            layout.rows,
            layout.columns,
            *(round(s, 4) for s in plane.spacing),
            *(round(c, 3) + 0.0 for c in cosines),
        )

    (commonest, _), *_ = Counter(map(kind, planes)).most_common(1)
    model = next(p for p in planes if kind(p) == commonest)
    alike = [p for p in planes if _same(p, model)]
    return alike, [p for p in planes if not _same(p, model)]


def _same(plane: Plane, model: Plane) -> bool:
    size = (plane.layout.rows, plane.layout.columns) == (model.layout.rows, model.layout.columns)
    mine = (*plane.across, *plane.down)
    turned = max(abs(a - b) for a, b in zip(mine, (*model.across, *model.down), strict=True))
    scaled = max(abs(a / b - 1) for a, b in zip(plane.spacing, model.spacing, strict=True))
    return size and turned <= SAME_DIRECTION and scaled <= SAME_DIRECTION


def _mixed(odd: Sequence[Plane], total: int) -> ScanProblem:
    message = (
        "slices that differ from the others in size, direction or pixel spacing: "
        f"{len(odd)} of {total}"
    )
    return problem("mixed-series", message, _files(odd))


def _uneven(planes: Sequence[Plane], gaps: NDArray[np.float64], step: float) -> list[ScanProblem]:
    """Slices at one place, slices that lack, and distances that differ otherwise."""
    found = []
    twice = np.flatnonzero(gaps <= SAME_PLACE_MM)
    if twice.size:
        message = f"slices that lie where another one lies: {twice.size} of {len(planes)}"
        both = [planes[i + k] for i in twice.tolist() for k in (0, 1)]
        found.append(problem("duplicate-slices", message, _files(both)))
    steps = gaps[gaps > SAME_PLACE_MM] / step
    whole = np.rint(steps)
    holes = (whole >= 2) & (np.abs(steps - whole) <= UNEVEN * whole)
    if holes.any():
        lost = int((whole[holes] - 1).sum())
        message = f"slices that are missing between the first and the last: {lost}"
        found.append(problem("missing-slices", message))
    other = np.abs(steps[~holes] - 1)
    if other.size and other.max() > 2 * max(UNEVEN, ROUNDED_MM / step):
        shortest, longest = steps[~holes].min() * step, steps[~holes].max() * step
        message = f"the slices are not evenly spaced: {shortest:.2f} to {longest:.2f} mm apart"
        found.append(problem("uneven-spacing", message))
    return found


def _sideways(
    places: NDArray[np.float64], heights: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where each slice lies beside the normal through the first, mm."""
    return places - places[0] - np.outer(heights - heights[0], normal)


def _drift(
    places: NDArray[np.float64], heights: NDArray[np.float64], normal: NDArray[np.float64]
) -> float:
    return float(np.linalg.norm(_sideways(places, heights, normal), axis=1).max())


def _aslant(
    places: NDArray[np.float64], heights: NDArray[np.float64], normal: NDArray[np.float64]
) -> ScanProblem:
    beside = _sideways(places, heights, normal)
    share = (heights - heights[0]) / (heights[-1] - heights[0])
    if np.linalg.norm(beside - np.outer(share, beside[-1]), axis=1).max() > DRIFT_MM:
        return problem("uneven-spacing", "the slices lie beside each other, not above each other")
    angle = np.degrees(np.arctan2(np.linalg.norm(beside[-1]), heights[-1] - heights[0]))
    message = f"the gantry was tilted by {angle:.1f}°: the slices are stacked aslant"
    return problem("tilted-gantry", message)


def _rounding(off_mm: float) -> tuple[str, ...]:
    if off_mm <= EXACT_MM:
        return ()
    return (f"The headers place slices up to {off_mm:.2f} mm beside an even grid, by rounding.",)


def _files(planes: Sequence[Plane]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p.file.name for p in planes))
