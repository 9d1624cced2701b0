"""Sampling grids in the phantom's own frame: mm, LPS, zero at the middle of the chest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from medfed.connectors.phantom.shapes import Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.imaging.geometry import Triple


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxel centres of a box; each axis float32, mm, increasing."""

    z: Field
    y: Field
    x: Field

    @classmethod
    def centred(cls, shape: tuple[int, int, int], spacing_mm: Triple) -> Grid:
        """A grid whose middle is the origin."""
        z, y, x = (
            ((np.arange(n) - (n - 1) / 2) * s).astype(np.float32)
            for n, s in zip(shape, spacing_mm, strict=True)
        )
        return cls(z, y, x)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along ``(z, y, x)``."""
        return len(self.z), len(self.y), len(self.x)

    @property
    def spacing(self) -> Triple:
        """Voxel spacing along ``(z, y, x)``, mm."""
        z, y, x = (float(axis[1] - axis[0]) for axis in (self.z, self.y, self.x))
        return z, y, x

    def mesh(self) -> tuple[Field, Field, Field]:
        """``x, y, z`` that broadcast to the grid's shape."""
        return self.x[None, None, :], self.y[None, :, None], self.z[:, None, None]

    def coarse(self, spacing: float) -> Grid:
        """A grid of about ``spacing`` that covers this one with a margin for interpolation."""
        axes = []
        for axis in (self.z, self.y, self.x):
            count = int(np.ceil((axis[-1] - axis[0]) / spacing)) + 5
            middle = (axis[0] + axis[-1]) / 2
            axes.append(
                (middle + (np.arange(count) - (count - 1) / 2) * spacing).astype(np.float32)
            )
        return Grid(*axes)

    def box(self, low: Triple, high: Triple) -> tuple[slice, slice, slice] | None:
        """The voxels between two points ``(x, y, z)``, as slices ``(z, y, x)``; None if empty."""
        slices = []
        for axis, lo, hi in zip((self.z, self.y, self.x), low[::-1], high[::-1], strict=True):
            first, last = np.searchsorted(axis, lo), np.searchsorted(axis, hi, side="right")
            if first >= last:
                return None
            slices.append(slice(int(first), int(last)))
        return slices[0], slices[1], slices[2]


LEAST = 1e-5
"""Weights below this are left out."""

REACH = 11
"""A weight this many coarse samples away is left out: B-spline weights fall by 0.27 a sample."""


@dataclass(frozen=True, eq=False)
class Upsampler:
    """Cubic B-spline interpolation from a coarse grid to a fine one, by matrix products.

    Smooth fields (organ distances, textures) are computed about every 3 mm and interpolated: a full
    CT then costs seconds, not minutes.
    """

    along_z: Field
    along_y: Field
    along_x: Field
    nearest_y: NDArray[np.intp]
    nearest_x: NDArray[np.intp]

    @classmethod
    def between(cls, coarse: Grid, fine: Grid) -> Upsampler:
        """The operator from ``coarse`` to ``fine``."""
        z, y, x = (
            _matrix(*axes) for axes in ((coarse.z, fine.z), (coarse.y, fine.y), (coarse.x, fine.x))
        )
        return cls(z, y, x, y.argmax(axis=1), x.argmax(axis=1))

    def slices(self, field: Field, start: int, stop: int) -> Field:
        """Fine slices ``start:stop`` of a coarse field."""
        few = self.planes(field, start, stop)
        return np.matmul(np.matmul(self.along_y, few), self.along_x.T)

    def planes(self, field: Field, start: int, stop: int) -> Field:
        """Slices ``start:stop`` still coarse in their plane."""
        rows = self.along_z[start:stop]
        used = np.flatnonzero(np.abs(rows).max(axis=0))
        few = slice(int(used[0]), int(used[-1]) + 1)
        return np.tensordot(rows[:, few], field[few], axes=1)

    def within(self, planes: Field, box: tuple[slice, slice]) -> tuple[tuple[slice, slice], Field]:
        """Interpolate a part of `planes` only.

        Args:
            planes: from `planes`.
            box: rows and columns of the coarse grid.

        Returns:
            The rows and columns of the fine grid that lie in the box, and the field there.
        """
        rows, few_rows = _covered(self.along_y, self.nearest_y, box[0])
        columns, few_columns = _covered(self.along_x, self.nearest_x, box[1])
        part = np.ascontiguousarray(planes[:, few_rows, few_columns])
        across = np.matmul(self.along_y[rows, few_rows], part)
        return (rows, columns), np.matmul(across, self.along_x[columns, few_columns].T)


def _covered(along: Field, nearest: NDArray[np.intp], box: slice) -> tuple[slice, slice]:
    """Fine samples whose nearest coarse sample is in the box, and the coarse ones they need."""
    first, last = np.searchsorted(nearest, (box.start, box.stop))
    few = slice(max(0, box.start - REACH), min(along.shape[1], box.stop + REACH))
    return slice(int(first), int(last)), few


def _matrix(coarse: Field, fine: Field) -> Field:
    place = (fine - coarse[0]) / (coarse[1] - coarse[0])
    impulses = np.eye(len(coarse), dtype=np.float64)
    columns = [ndimage.map_coordinates(row, [place], order=3, mode="mirror") for row in impulses]
    matrix = np.stack(columns, axis=1)
    matrix[np.abs(matrix) < LEAST] = 0  # also: numbers near zero make products very slow
    return np.ascontiguousarray(matrix, dtype=np.float32)
