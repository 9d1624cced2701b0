"""From organs to Hounsfield units, before anything is scanned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from medfed.connectors.phantom.anatomy import Anatomy, Organ, organs
from medfed.connectors.phantom.grid import Grid, Upsampler
from medfed.connectors.phantom.shapes import Field, coverage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

COARSE_MM = 3.0
"""Where voxels are finer than this, organs are computed here and interpolated."""

SLAB = 8


@dataclass(frozen=True)
class Tissue:
    """One patient's Hounsfield units, before noise and kernel.

    Attributes:
        lung: aerated parenchyma in the middle of the lung; denser towards the back.
        gravity: HU gained per 100 mm towards the back (the patient lies supine).
        blood: heart chambers and vessels; above 45 where contrast was given.
        muscle: muscle and myocardium.
        liver: with contrast, it takes up some.
        table: whether the couch is in the picture.
    """

    lung: float
    gravity: float
    blood: float
    muscle: float
    liver: float
    table: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, contrast: float, table: bool) -> Tissue:
        """A random patient of a hospital that adds ``contrast`` HU to blood."""
        given = contrast * rng.uniform(0.8, 1.2)
        return cls(
            lung=float(rng.uniform(-892.0, -866.0)),
            gravity=float(rng.uniform(10.0, 26.0)),
            blood=float(rng.uniform(38.0, 48.0) + given),
            muscle=float(rng.uniform(46.0, 56.0)),
            liver=float(rng.uniform(50.0, 60.0) + 0.25 * given),
            table=table,
        )


def paint(a: Anatomy, tissue: Tissue, grid: Grid, rng: np.random.Generator) -> Field:
    """Hounsfield units of the patient on a grid, noise-free; shape of the grid, float32."""
    if min(grid.spacing[1:]) >= COARSE_MM:
        textures = _textures(grid.shape, min(grid.spacing[1:]), rng)
        return _mix(organs(a, *grid.mesh()), textures, tissue, grid, grid.z)
    coarse = grid.coarse(COARSE_MM)
    fields = {k: np.ascontiguousarray(v) for k, v in organs(a, *coarse.mesh()).items()}
    textures = _textures(coarse.shape, COARSE_MM, rng)
    finer = Upsampler.between(coarse, grid)
    hu = np.empty(grid.shape, dtype=np.float32)
    for start in range(0, grid.shape[0], SLAB):
        stop = min(start + SLAB, grid.shape[0])
        part = {organ: finer.slices(field, start, stop) for organ, field in fields.items()}
        wide, fine = (finer.slices(t, start, stop) for t in textures)
        hu[start:stop] = _mix(part, (wide, fine), tissue, grid, grid.z[start:stop])
    return hu


def _textures(
    shape: tuple[int, int, int], spacing: float, rng: np.random.Generator
) -> tuple[Field, Field]:
    """Two scales of unit-variance texture: lobules of about 10 mm, and the grid's own."""
    fine = rng.standard_normal(shape, dtype=np.float32)
    wide = ndimage.gaussian_filter(fine[::-1], 5.0 / spacing, mode="wrap", truncate=2.5)
    return wide / (wide.std() + np.float32(1e-6)), fine


def _mix(
    fields: Mapping[Organ, Field],
    textures: tuple[Field, Field],
    tissue: Tissue,
    grid: Grid,
    z: Field,
) -> Field:
    """Lay tissues over each other, from the outside in."""
    edge = float(np.mean(grid.spacing[1:]))
    wide, fine = textures
    y = grid.y[None, :, None]
    hu = np.full((len(z), *grid.shape[1:]), -1000, dtype=np.float32)

    def lay(distance: Field, value: NDArray[np.floating] | float, soft: float = edge) -> None:
        share = coverage(distance, soft)
        hu[...] += share * (np.asarray(value, dtype=np.float32) - hu)

    body, cage, bone = fields[Organ.BODY], fields[Organ.CAGE], fields[Organ.BONE]
    airway = fields[Organ.AIRWAY]
    if tissue.table:
        lay(_table(grid), -350.0)
    lay(body, 20.0)  # skin
    lay(body + 2, -102 + 7 * wide)
    lay(fields[Organ.LEAN], tissue.muscle - 9 + 11 * wide)
    lay(cage, -72 + 12 * wide)  # fat around heart and vessels
    lay(np.maximum(cage + 1, fields[Organ.LUNGS] - 3), 12 + 8 * wide, 5.0)  # pleura, nodes
    lay(fields[Organ.LIVER], tissue.liver + 4 * wide)
    lay(fields[Organ.BELLY], tissue.liver - 14 + 18 * wide)
    lay(fields[Organ.GAS], -960.0)
    lay(fields[Organ.HEART], tissue.muscle - 4 + 4 * wide)
    lay(fields[Organ.BLOOD], tissue.blood, 2 * edge)
    parenchyma = tissue.lung + tissue.gravity * y / 100 + 11 * wide + 9 * fine
    lay(fields[Organ.LUNGS], parenchyma)
    lay(fields[Organ.CARTILAGE], 95.0)
    lay(fields[Organ.DISC], 78.0)
    lay(bone, 640.0)
    lay(bone + 2.6, 150 + 45 * wide + 30 * fine, 3.0)
    lay(airway - 2, 5.0)
    lay(airway, -985.0)
    return hu


def _table(grid: Grid) -> Field:
    """A thin curved couch under the patient."""
    x, y, _ = grid.mesh()
    bow = np.float32(420)
    return np.abs(np.hypot(x, y + bow - np.float32(136)) - bow) - np.float32(1.4)
