"""Slices while they are painted, and the textures they are painted with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medfed.connectors.phantom.anatomy import Organ
from medfed.connectors.phantom.grid import Grid, Upsampler
from medfed.connectors.phantom.shapes import Field, coverage

MARGINS = {Organ.BODY: 24.0, Organ.RIBCAGE: 40.0, Organ.FISSURE: np.inf, Organ.BLADE: np.inf}
"""How far from an organ, in mm, its distances are asked for; elsewhere 4."""

Value = Field | np.float32 | float


@dataclass(frozen=True, eq=False)
class Textures:
    """Unit-variance noise fields: lobules of about 10 mm, strands, and the grid's own."""

    wide: Field
    strands: Field
    fine: Field

    @classmethod
    def draw(
        cls, shape: tuple[int, int, int], spacing: float, rng: np.random.Generator
    ) -> Textures:
        """Textures on a grid of about ``spacing`` mm."""
        fine = rng.standard_normal(shape, dtype=np.float32)
        wide = ndimage.gaussian_filter(fine[::-1], 5.0 / spacing, mode="wrap", truncate=2.5)
        strands = ndimage.gaussian_filter(fine[:, ::-1], 2.6 / spacing, mode="wrap", truncate=2.0)
        return cls(_unit(wide), _unit(strands), fine)


def _unit(field: Field) -> Field:
    return np.asarray(field / (field.std() + np.float32(1e-6)))


class Slab:
    """Some slices being painted. Organs are interpolated only where they are."""

    def __init__(
        self,
        hu: Field,
        grid: Grid,
        fields: dict[Organ, Field],
        textures: Textures,
        finer: Upsampler | None,
        start: int,
        stop: int,
    ) -> None:
        self.hu, self.grid, self.edge = hu, grid, float(np.mean(grid.spacing[1:]))
        self._fields, self._finer, self._start, self._stop = fields, finer, start, stop
        self._known: dict[Organ, tuple[tuple[slice, slice], Field]] = {}
        self.wide = self._all(textures.wide)
        self.strands = self._all(textures.strands)
        self.fine = self._all(textures.fine)

    def _all(self, field: Field) -> Field:
        if self._finer is None:
            return field[self._start : self._stop]
        return self._finer.slices(field, self._start, self._stop)

    def distance(self, organ: Organ) -> tuple[tuple[slice, slice], Field]:
        """The part of the slab in which an organ is near, and the distances there."""
        margin = MARGINS.get(organ, 4.0)
        if organ not in self._known:
            field = self._fields[organ]
            if self._finer is None:
                field = field[self._start : self._stop]
                box = _near(field, margin)
                self._known[organ] = (box, field[:, box[0], box[1]])
            else:
                few = self._finer.planes(field, self._start, self._stop)
                self._known[organ] = self._finer.within(few, _near(few, margin))
        return self._known[organ]

    def lay(
        self,
        organ: Organ,
        value: Callable[[tuple[slice, slice, slice]], Value] | float,
        soft: float = 0.0,
        shape: Callable[[Field, tuple[slice, slice, slice]], Field] | None = None,
    ) -> None:
        """Cover an organ with a value.

        Args:
            organ: which.
            value: HU, or a function of the part of the slab where the organ is.
            soft: width of its edge in mm, if more than a voxel.
            shape: turns the organ's distances into another shape's.
        """
        (rows, columns), distance = self.distance(organ)
        if not distance.size:
            return
        part = (slice(None), rows, columns)
        if shape is not None:
            distance = shape(distance, part)
        share = coverage(distance, max(soft, self.edge))
        under = self.hu[part]
        under += share * (np.asarray(value(part) if callable(value) else value) - under)


def _near(field: Field, margin: float) -> tuple[slice, slice]:
    lowest = field.min(axis=0)
    rows = np.flatnonzero(lowest.min(axis=1) < margin)
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    columns = np.flatnonzero(lowest.min(axis=0) < margin)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
