"""What is mistaken for a nodule and is none; without it the task would be trivial."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from medfed.connectors.phantom.anatomy import HILA, Anatomy, lungs, to_grid
from medfed.connectors.phantom.nodules import directions, points_in_lungs
from medfed.connectors.phantom.vessels import tube_

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.connectors.phantom.grid import Grid
    from medfed.connectors.phantom.shapes import Field
    from medfed.connectors.phantom.tissue import Tissue
    from medfed.imaging.geometry import Triple

MimicKind = Literal["scar", "lymph-node", "calcified-dot", "vessel-crossing"]

IRRELEVANT: tuple[MimicKind, ...] = ("scar", "lymph-node", "calcified-dot")
"""Findings that a reader may mark and that are no nodules: LUNA16 excludes them from scoring. A
vessel crossing is normal, and who marks it is wrong."""


@dataclass(frozen=True)
class Mimic:
    """One thing that is no nodule.

    Attributes:
        centre: ``(x, y, z)``, mm, like a nodule's.
        diameter_mm: of a sphere that holds its thick part.
        kind: what it is.
    """

    centre: Triple
    diameter_mm: float
    kind: MimicKind


def add_mimics(
    hu: Field, grid: Grid, a: Anatomy, tissue: Tissue, size: str, rng: np.random.Generator
) -> tuple[Mimic, ...]:
    """Draw scars, lymph nodes, calcified dots and crossing vessels; in place."""
    points, depth = points_in_lungs(a, grid, rng)
    painter = _Painter(hu, grid, tissue, 1.5 if size == "small" else 1.0, rng)
    near = points[(depth > 1) & (depth < 5)]
    found = [painter.scar(_any(near, rng)) for _ in range(int(rng.integers(1, 4)))]
    for hilum in HILA:  # never free in the lungs
        spots = np.asarray(to_grid(a, hilum)) + rng.normal(0, 1, (40, 3)) * (7, 10, 16)
        outside = lungs(a, *spots.astype(np.float32).T) > -1.0
        few = spots[outside][: int(rng.integers(1, 4))]
        found += [painter.lymph_node(spot) for spot in few]
    deep = points[(depth > 12) & (depth < 40)]
    found += [painter.crossing(_any(deep, rng)) for _ in range(int(rng.integers(2, 5)))]
    found += [painter.dot(_any(points, rng)) for _ in range(int(rng.integers(0, 3)))]
    return tuple(found)


def _any(points: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(points[rng.integers(len(points))])


class _Painter:
    """Draws one mimic at a time."""

    def __init__(
        self, hu: Field, grid: Grid, tissue: Tissue, grow: float, rng: np.random.Generator
    ) -> None:
        self._hu, self._grid, self._tissue, self._grow, self._rng = hu, grid, tissue, grow, rng
        self._voxel = float(np.mean(grid.spacing))

    def _tube(
        self,
        start: NDArray[np.float64],
        end: NDArray[np.float64],
        radii: tuple[float, float],
        value: float,
    ) -> None:
        tube_(self._hu, self._grid, start, end, radii, value, self._voxel)

    def scar(self, start: NDArray[np.float64]) -> Mimic:
        """A bent band that begins at the pleura."""
        rng = self._rng
        way = directions(1, rng)[0]
        value = float(rng.uniform(-200, 20))
        thick = float(rng.uniform(0.7, 1.5)) * self._grow
        points = [start]
        for _ in range(3):
            way = way + rng.normal(0, 0.22, 3)
            points.append(points[-1] + way / np.linalg.norm(way) * rng.uniform(3.5, 8.5))
        for number, (one, two) in enumerate(pairwise(points)):
            begin, end = (thick * (1 - 0.2 * k) for k in (number, number + 1))
            self._tube(one, two, (begin, end), value)
        middle = 0.5 * (points[0] + points[-1])
        return Mimic(_triple(middle), float(np.linalg.norm(points[-1] - points[0])), "scar")

    def lymph_node(self, centre: NDArray[np.float64]) -> Mimic:
        """An oval at a lung's root."""
        half = 0.5 * self._rng.normal(0, 3, 3)
        thick = float(self._rng.uniform(2.5, 5.0))
        self._tube(centre - half, centre + half, (thick, thick), 35.0)
        return Mimic(_triple(centre), 2 * (thick + 0.5 * float(np.linalg.norm(half))), "lymph-node")

    def crossing(self, middle: NDArray[np.float64]) -> Mimic:
        """Two vessels that touch."""
        thickest = 0.0
        for direction in directions(2, self._rng):
            half = direction * self._rng.uniform(12, 22)
            thick = float(self._rng.uniform(1.0, 1.9)) * self._grow
            ends = (thick, 0.7 * thick)
            self._tube(middle - half, middle + half, ends, self._tissue.blood - 15)
            thickest = max(thickest, thick)
        return Mimic(_triple(middle), 3 * thickest, "vessel-crossing")

    def dot(self, spot: NDArray[np.float64]) -> Mimic:
        """The smallest sign of an old infection: below the 3 mm from which LUNA16 counts."""
        self._tube(spot, spot + 0.3, (1.2, 1.2), 300.0)
        return Mimic(_triple(spot), 2.6, "calcified-dot")


def _triple(point: NDArray[np.float64]) -> Triple:
    x, y, z = (float(c) for c in point)
    return x, y, z
