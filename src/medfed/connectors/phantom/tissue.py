"""From organs to Hounsfield units, before anything is scanned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medfed.connectors.phantom.anatomy import Anatomy, Organ, organs
from medfed.connectors.phantom.couch import blanket, room
from medfed.connectors.phantom.grid import Grid, Upsampler
from medfed.connectors.phantom.shapes import Field, coverage
from medfed.connectors.phantom.skeleton import BLADE_MM
from medfed.connectors.phantom.slab import Slab, Textures

COARSE_MM = 3.0
"""Where voxels are finer than this, organs are computed here and interpolated."""

SLAB_VOXELS = 1 << 18
"""Slices are painted together up to this number of voxels, so that they stay in the cache."""


@dataclass(frozen=True)
class Tissue:
    """One patient's Hounsfield units, before noise and kernel.

    Attributes:
        lung: aerated parenchyma in the middle of the lung; denser towards the back.
        gravity: HU gained per 100 mm towards the back (the patient lies supine).
        blood: heart chambers and vessels; above 45 where contrast was given.
        muscle: muscle and myocardium.
        liver: with contrast, it takes up some.
        marrow: trabecular bone; falls with age.
        table: height of the couch's surface, mm; None where it is not in the picture.
    """

    lung: float
    gravity: float
    blood: float
    muscle: float
    liver: float
    marrow: float
    table: float | None

    @classmethod
    def draw(cls, rng: np.random.Generator, contrast: float, table: float | None) -> Tissue:
        """A random patient of a hospital that adds ``contrast`` HU to blood."""
        given = contrast * rng.uniform(0.8, 1.2)
        return cls(
            lung=float(rng.uniform(-908.0, -880.0)),
            gravity=float(rng.uniform(10.0, 26.0)),
            blood=float(rng.uniform(38.0, 48.0) + given),
            muscle=float(rng.uniform(50.0, 58.0)),
            liver=float(rng.uniform(52.0, 62.0) + 0.35 * given),
            marrow=float(rng.uniform(140.0, 260.0)),
            table=table,
        )


def paint(a: Anatomy, tissue: Tissue, grid: Grid, rng: np.random.Generator) -> Field:
    """Hounsfield units of the patient on a grid, noise-free; shape of the grid, float32."""
    direct = min(grid.spacing[1:]) >= COARSE_MM
    coarse = grid if direct else grid.coarse(COARSE_MM)
    fields = {k: np.ascontiguousarray(v) for k, v in organs(a, *coarse.mesh()).items()}
    textures = Textures.draw(coarse.shape, COARSE_MM, rng)
    finer = None if direct else Upsampler.between(coarse, grid)
    hu = np.empty(grid.shape, dtype=np.float32)
    around = room(grid, tissue.table)
    step = max(1, SLAB_VOXELS // (grid.shape[1] * grid.shape[2]))
    for start in range(0, grid.shape[0], step):
        stop = min(start + step, grid.shape[0])
        hu[start:stop] = around
        slab = Slab(hu[start:stop], grid, fields, textures, finer, start, stop)
        _lay_all(slab, tissue)
    return hu


def _lay_all(slab: Slab, t: Tissue) -> None:
    """Lay tissues over each other, from the outside in."""
    wide, strands, lay = slab.wide, slab.strands, slab.lay

    def liver_vessels(distance: Field, p: tuple[slice, slice, slice]) -> Field:
        return np.maximum(distance + 9, 1.6 * np.abs(strands[p]) + 1.1 * wide[p] + 1.2)

    if t.table is not None:
        blanket(slab.hu, slab.grid, *slab.distance(Organ.BODY))
    _wall(slab, t)
    lay(Organ.CAGE, lambda p: -96 + 9 * wide[p] + 90 * np.clip(strands[p] - 1.3, 0, 1.3))
    lay(Organ.RIBCAGE, 30.0, 1.5, lambda d, _: np.abs(d + 0.5) - 1.2)  # pleura and its fascia
    lay(Organ.BELLY, t.muscle)  # the diaphragm itself
    lay(Organ.BELLY, lambda p: -102 + 7 * wide[p], shape=lambda d, _: d + 3.2)
    lay(Organ.SPLEEN, 0.85 * t.liver + 12)
    lay(Organ.LIVER, lambda p: t.liver + 4 * wide[p], 1.5)
    lay(Organ.LIVER, 0.5 * (t.blood + t.liver), 2.0, liver_vessels)
    lay(Organ.STOMACH, t.muscle)
    lay(Organ.STOMACH, lambda p: 22 + 16 * wide[p], shape=lambda d, _: d + 3)
    lay(Organ.GAS, -980.0)
    lay(Organ.HEART, -78.0, 3.0)
    lay(Organ.MYOCARD, lambda p: t.muscle + 0.55 * (t.blood - 45) + 3 * wide[p], 3.0)
    lay(Organ.BLOOD, t.muscle - 8, shape=lambda d, _: d - 1.2)  # vessels' walls
    lay(Organ.BLOOD, t.blood, 2.2)
    lay(Organ.GULLET, lambda p: 38 + 6 * wide[p])
    lay(Organ.GULLET, -700.0, 2.0, lambda d, p: d + 6.2 - 1.5 * wide[p])
    _lungs(slab, t)
    _bones(slab, t)
    lay(Organ.AIRWAY, 10.0, shape=lambda d, _: d - 1.2)
    lay(Organ.AIRWAY, -995.0)


def _strand(noise: Field) -> Field:
    """Thin bright strands where a noise field changes its sign."""
    return np.maximum(1 - np.abs(noise) * np.float32(7), 0)


def _wall(slab: Slab, t: Tissue) -> None:
    """Skin, fat, glands, muscles with the fat between them."""
    wide, strands, lay = slab.wide, slab.strands, slab.lay
    lay(Organ.BODY, 15.0)
    lay(
        Organ.BODY,
        lambda p: -106 + 5 * wide[p] + 45 * _strand(strands[p]),
        shape=lambda d, _: d + 1.7,
    )
    lay(
        Organ.GLAND,
        lambda p: 5 + 20 * wide[p],
        4.0,
        lambda d, p: np.maximum(0.6 * d, 4.5 * strands[p]) + 1,
    )
    lay(
        Organ.LEAN,
        lambda p: t.muscle + 4 * wide[p] - 45 * np.clip(strands[p] - 1.2, 0, 1.2),
        1.2,
    )
    (rows, columns), lean = slab.distance(Organ.LEAN)
    if lean.size and slab.edge < COARSE_MM:
        _planes(slab, (slice(None), rows, columns), lean)


def _planes(slab: Slab, part: tuple[slice, slice, slice], lean: Field) -> None:
    """Thin layers of fat between muscles that glide on each other."""
    (rows, columns), over = slab.distance(Organ.RIBCAGE)
    if not over.size:
        return
    inner = (slice(None), rows, columns)
    full = np.full(slab.hu.shape, np.float32(9.0))
    full[part] = lean
    wave = 2.2 * slab.wide[inner]
    share = np.zeros_like(over)
    for depth, sign in ((13.0, 1), (22.0, -1)):
        gap = np.abs(over - depth + sign * wave) * np.float32(0.9)
        share = np.maximum(share, 1.2 - gap - 0.5 * np.abs(slab.strands[inner]))
    share = np.clip(share, 0, 1) * np.clip(-full[inner] - 3, 0, 1) * np.float32(0.8)
    under = slab.hu[inner]
    under += share * (np.float32(-85) - under)


def _lungs(slab: Slab, t: Tissue) -> None:
    wide, fine = slab.wide, slab.fine
    y = slab.grid.y[None, :, None]
    # Dependent lung is denser, and most so within a few mm of the back.
    gravity = t.gravity * y / 100 + 14 * np.clip((y - 55) * np.float32(1 / 45), 0, 1) ** 2

    def parenchyma(p: tuple[slice, slice, slice]) -> Field:
        value = t.lung + gravity[:, p[1]] + 11 * wide[p] + 9 * fine[p]
        if slab.edge < COARSE_MM:  # the finest vessels, seen as faint dots
            value += 110 * np.clip(fine[p] - 1.2, 0, 2)
        return value

    slab.lay(Organ.LUNGS, parenchyma)
    (rows, columns), lungs = slab.distance(Organ.LUNGS)
    (_, _), crack = slab.distance(Organ.FISSURE)
    if lungs.size and slab.edge < COARSE_MM:
        part = (slice(None), rows, columns)
        line = np.maximum(1.1 - np.abs(crack[part]), 0) * np.clip(-lungs - 1, 0, 1)
        slab.hu[part] += 75 * line


def _bones(slab: Slab, t: Tissue) -> None:
    wide, fine, lay = slab.wide, slab.fine, slab.lay

    def trabecular(p: tuple[slice, slice, slice]) -> Field:
        return t.marrow + 25 * wide[p] + 45 * fine[p]

    lay(Organ.CARTILAGE, lambda p: 85 + 20 * wide[p])
    lay(Organ.CARTILAGE, 240.0, 1.5, lambda d, p: np.abs(d + 1) - 0.4 - 0.7 * wide[p])
    lay(Organ.CANAL, -40.0)
    lay(Organ.CANAL, 30.0, shape=lambda d, _: d + 1.8)
    lay(Organ.DISC, 85.0)
    lay(Organ.BONE, 680.0)
    lay(Organ.BONE, trabecular, 1.2, lambda d, _: d + 1.5)
    (rows, columns), over = slab.distance(Organ.RIBCAGE)
    (_, _), where = slab.distance(Organ.BLADE)
    if over.size:
        part = (slice(None), rows, columns)
        thick = 1.5 + 0.5 * wide[part]
        plate = np.maximum(np.abs(over - BLADE_MM) - thick, where[part])
        share = coverage(plate, slab.edge)
        under = slab.hu[part]
        under += share * (np.float32(560) - under)
