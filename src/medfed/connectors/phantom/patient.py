"""One patient, from numbers to a scanned volume with its truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.phantom import nodules, tissue, vessels
from medfed.connectors.phantom.anatomy import Anatomy
from medfed.connectors.phantom.grid import Grid
from medfed.connectors.phantom.scanner import Scanner, acquire, grid_of
from medfed.core.seeding import generator
from medfed.imaging.geometry import Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.connectors.phantom.nodules import Nodule

TIPS = {"small": 240, "full": 1400}
"""Vessel tips in each lung; finer ones would vanish in the voxels."""


@dataclass(frozen=True, eq=False)
class Patient:
    """A synthetic patient.

    Attributes:
        volume: the CT.
        mask: uint8 0/1, the nodules, on the CT's grid.
        nodules: with centres in *world* coordinates ``(x, y, z)``, mm, LPS.
    """

    volume: Volume
    mask: NDArray[np.uint8]
    nodules: tuple[Nodule, ...]


def draw_patient(seed: int, hospital: str, number: int, scanner: Scanner, size: str) -> Patient:
    """The ``number``-th patient of a hospital; depends on nothing else, and on no other patient."""

    def stream(purpose: str) -> np.random.Generator:
        return generator(seed, "phantom", hospital, number, purpose)

    shape, spacing = grid_of(scanner, size)
    grid = Grid.centred(shape, spacing)
    body = Anatomy.draw(stream("anatomy"))
    stuff = tissue.Tissue.draw(stream("tissue"), scanner.contrast_hu, scanner.table)
    hu = tissue.paint(body, stuff, grid, stream("texture"))
    tree = vessels.grow(body, stream("vessels"), TIPS[size])
    vessels.paint(hu, grid, tree, stuff)
    nodules.add_mimics(hu, grid, body, stuff, size, stream("mimics"))
    mask = np.zeros(shape, dtype=np.uint8)
    rng = stream("nodules")
    sizes = nodules.draw_sizes(rng, size, scanner.size_shift)
    found = nodules.add_nodules(nodules.Scene(hu, mask, grid, body), tree, sizes, rng)
    scanned = acquire(hu, grid, scanner, stream("noise"))
    # Where the patient lay on the table: every scan has its own origin, as real ones do.
    shift = np.round(stream("position").uniform((-12, -40, -260), (12, 20, 40)), 2)
    first = np.asarray([grid.x[0], grid.y[0], grid.z[0]], dtype=np.float64)
    origin = np.round(shift + first, 3)
    moved = origin - first
    volume = Volume(scanned, spacing, (float(origin[0]), float(origin[1]), float(origin[2])))
    return Patient(volume, mask, tuple(_move(n, moved) for n in found))


def _move(nodule: Nodule, by: NDArray[np.float64]) -> Nodule:
    x, y, z = (float(c + m) for c, m in zip(nodule.centre, by, strict=True))
    return nodules.Nodule((x, y, z), nodule.diameter_mm, nodule.kind, nodule.place)
