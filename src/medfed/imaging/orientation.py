"""Volumes as radiologists stack them: x to the left, y to the back, z to the head.

A file may keep its axes in another order or direction. Nothing is resampled and nothing is copied
here: axes are permuted and mirrored until each points as nearly as it can along its own direction
of the world (LPS). An oblique volume stays oblique.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.imaging.geometry import Geometry, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Upright:
    """How the axes of an array become ``(z, y, x)`` of the patient, and back.

    Attributes:
        order: for each new axis the old one.
        mirrored: for each new axis whether it runs the other way.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    mirrored: tuple[bool, bool, bool] = (False, False, False)

    def view(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same memory, upright; what is written into it is written into ``values``."""
        z, y, x = (slice(None, None, -1) if m else slice(None) for m in self.mirrored)
        return values.transpose(self.order)[z, y, x]

    def geometry(self, grid: Geometry) -> Geometry:
        """The grid of an upright view."""
        first = [0, 0, 0]
        for old, mirrored in zip(self.order, self.mirrored, strict=True):
            first[old] = grid.shape[old] - 1 if mirrored else 0
        origin = grid.to_world(first)
        columns = np.asarray(grid.direction)[:, ::-1]  # in the order of the array's axes
        turned = columns[:, self.order] * np.where(self.mirrored, -1.0, 1.0)
        rows = turned[:, ::-1].tolist()
        shape, spacing = grid.shape, grid.spacing_mm
        a, b, c = self.order
        return Geometry(
            (shape[a], shape[b], shape[c]),
            (spacing[a], spacing[b], spacing[c]),
            (float(origin[0]), float(origin[1]), float(origin[2])),
            (tuple(rows[0]), tuple(rows[1]), tuple(rows[2])),
        )

    def volume(self, volume: Volume) -> Volume:
        """The volume upright, without a copy."""
        grid = self.geometry(volume.geometry)
        return Volume(self.view(volume.hu), grid.spacing_mm, grid.origin_mm, grid.direction)

    def index(self, upright_zyx: tuple[float, float, float], grid: Geometry) -> list[float]:
        """Where an upright voxel lies in the array as it was.

        Args:
            upright_zyx: voxel index in the view.
            grid: the grid as it was.
        """
        found = [0.0, 0.0, 0.0]
        for value, old, mirrored in zip(upright_zyx, self.order, self.mirrored, strict=True):
            found[old] = grid.shape[old] - 1 - value if mirrored else value
        return found


def upright(grid: Geometry) -> Upright:
    """The order and direction of axes that come nearest to the patient's."""
    toward = np.asarray(grid.direction)[::-1, ::-1]  # [world z, y, x] by [array axis z, y, x]
    best = max(permutations(range(3)), key=lambda p: sum(abs(toward[w, p[w]]) for w in range(3)))
    a, b, c = best
    down = [bool(toward[w, axis] < 0) for w, axis in enumerate(best)]
    return Upright((a, b, c), (down[0], down[1], down[2]))
