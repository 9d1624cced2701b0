"""One patient, from numbers to a scanned volume with its truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.phantom import mimics, nodules, tissue, vessels
from medfed.connectors.phantom.anatomy import Anatomy
from medfed.connectors.phantom.grid import Grid
from medfed.connectors.phantom.scanner import Scanner, acquire, grid_of
from medfed.connectors.phantom.torso import back_mm
from medfed.core.seeding import generator
from medfed.imaging.geometry import Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.connectors.phantom.mimics import Mimic
    from medfed.connectors.phantom.nodules import Nodule
    from medfed.imaging.geometry import Triple

TIPS = {"small": 240, "full": 3600}
"""Vessel tips in each lung; finer ones would vanish in the voxels."""


@dataclass(frozen=True, eq=False)
class Patient:
    """A synthetic patient.

    Attributes:
        volume: the CT.
        mask: uint8 0/1, the nodules, on the CT's grid.
        nodules: with centres in *world* coordinates ``(x, y, z)``, mm, LPS.
        mimics: what looks like a nodule and is none; likewise.
    """

    volume: Volume
    mask: NDArray[np.uint8]
    nodules: tuple[Nodule, ...]
    mimics: tuple[Mimic, ...]


def draw_patient(seed: int, hospital: str, number: int, scanner: Scanner, size: str) -> Patient:
    """The ``number``-th patient of a hospital; depends on nothing else, and on no other patient."""

    def stream(purpose: str) -> np.random.Generator:
        return generator(seed, "phantom", hospital, number, purpose)

    shape, spacing = grid_of(scanner, size)
    grid = Grid.centred(shape, spacing)
    body = Anatomy.draw(stream("anatomy"))
    table = body.scale * (back_mm(body) + 2) if scanner.table else None
    stuff = tissue.Tissue.draw(stream("tissue"), scanner.contrast_hu, table)
    hu = tissue.paint(body, stuff, grid, stream("texture"))
    tree = vessels.grow(body, stream("vessels"), TIPS[size])
    vessels.paint(hu, grid, tree, stuff)
    decoys = mimics.add_mimics(hu, grid, body, stuff, size, stream("mimics"))
    mask = np.zeros(shape, dtype=np.uint8)
    rng = stream("nodules")
    sizes = nodules.draw_sizes(rng, size, scanner.size_shift)
    others = [(m.centre, 0.5 * m.diameter_mm) for m in decoys]
    found = nodules.add_nodules(nodules.Scene(hu, mask, grid, body), tree, sizes, rng, others)
    scanned = acquire(hu, grid, scanner, stream("noise"))
    # Where the patient lay on the table: every scan has its own origin, as real ones do.
    shift = np.round(stream("position").uniform((-12, -40, -260), (12, 20, 40)), 2)
    first = np.asarray([grid.x[0], grid.y[0], grid.z[0]], dtype=np.float64)
    origin = np.round(shift + first, 3)
    moved = origin - first
    volume = Volume(scanned, spacing, (float(origin[0]), float(origin[1]), float(origin[2])))
    nodules_ = tuple(replace(n, centre=_moved(n.centre, moved)) for n in found)
    mimics_ = tuple(replace(m, centre=_moved(m.centre, moved)) for m in decoys)
    return Patient(volume, mask, nodules_, mimics_)


def _moved(point: Triple, by: NDArray[np.float64]) -> Triple:
    x, y, z = (float(c + m) for c, m in zip(point, by, strict=True))
    return x, y, z
