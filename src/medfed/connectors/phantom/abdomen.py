"""Under the diaphragm: its domes, liver, stomach, spleen, kidneys, gas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.phantom.shapes import Field, ellipsoid, smooth_union

if TYPE_CHECKING:
    from medfed.connectors.phantom.anatomy import Anatomy
    from medfed.connectors.phantom.frame import Frame


def domes(a: Anatomy, f: Frame) -> tuple[Field, Field]:
    """Height of the diaphragm over the liver and over the stomach."""
    v = (f.y + 18) * np.float32(1 / 92)
    fall = v * v * np.where(v > 0, np.float32(54), np.float32(24))

    def dome(top: float, centre: float) -> Field:
        u = (f.x - np.float32(centre)) * np.float32(1 / 70)
        return np.asarray(np.float32(top) - 34 * (u * u) - fall)

    return dome(a.dome[0], -52.0), dome(a.dome[1], 58.0)


def belly(f: Frame, wall: Field, right: Field, left: Field) -> Field:
    """The room under the domes, inside the diaphragm's muscle."""
    top = -smooth_union(-right, -left, 44.0)
    return np.asarray(np.maximum(wall - 1, f.z - top + 2), dtype=np.float32)


def liver(a: Anatomy, f: Frame, room: Field) -> Field:
    """Fills the right and reaches over the middle in front."""
    tilt = f.x - 44 + 0.75 * np.maximum(f.y + 46, 0) + 0.16 * (f.z + 100)
    behind = 54 - np.hypot(f.x - 6, f.y - 76)  # spine, aorta and crura
    top = a.dome[0]
    under = top - 66 - f.z + 0.5 * (f.x + 60) * (f.x > -60)
    rest = np.maximum(smooth_max(tilt, behind), under * np.float32(0.7))
    return np.asarray(np.maximum(room + 2.5, rest), dtype=np.float32)


def smooth_max(a: Field, b: Field, blend: float = 14.0) -> Field:
    """The overlap of two shapes with a rounded edge."""
    return -smooth_union(-a, -b, blend)


def stomach(a: Anatomy, f: Frame) -> Field:
    """A bag under the left dome, running to the middle."""
    top = a.dome[1]

    def draw(x: Field, y: Field, z: Field) -> Field:
        bag = ellipsoid(x - 56, y + 12, z - (top - 40), (42.0, 46.0, 40.0))
        way_out = ellipsoid(x - 26, y + 44, z - (top - 62), (40.0, 22.0, 22.0))
        return smooth_union(bag, way_out, 16.0)

    return f.near((-20, -75, top - 95), (105, 40, top + 5), draw)


def spleen_kidneys(a: Anatomy, f: Frame) -> Field:
    """Spleen behind the stomach, and the kidneys' upper poles."""
    top = a.dome[1]

    def draw(x: Field, y: Field, z: Field) -> Field:
        spleen = ellipsoid(x - 88, y - 34, z - (top - 50), (25.0, 40.0, 46.0))
        hollow = ellipsoid(x - 58, y - 22, z - (top - 50), (22.0, 34.0, 60.0))
        spleen = np.maximum(spleen, -hollow)
        kidney = ellipsoid(np.abs(x) - 54, y - 56, z + 158, (26.0, 26.0, 52.0))
        sinus = ellipsoid(np.abs(x) - 44, y - 54, z + 162, (16.0, 12.0, 30.0))
        return np.minimum(spleen, np.maximum(kidney, -sinus))

    return f.near((-90, -10, -230), (125, 90, top + 5), draw)


def gas(a: Anatomy, f: Frame, bag: Field) -> Field:
    """Gas rises to the front of the stomach, and lies in the bowel before it."""
    top = a.dome[1]
    level = f.y + 40 - np.float32(a.gas)
    bubble = np.maximum(bag + 4, level)

    def bowel(x: Field, y: Field, z: Field) -> Field:
        folds = 3.0 * np.sin(x * np.float32(0.28)) * np.sin(z * np.float32(0.25))
        return ellipsoid(x - 52, y + 70, z - (top - 52), (40.0, 9.0, 14.0)) + folds

    return np.minimum(bubble, f.near((0, -90, top - 75), (100, -50, top - 30), bowel))
