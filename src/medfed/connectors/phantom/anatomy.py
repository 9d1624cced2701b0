"""One patient's chest as smooth shapes: body, cage, lungs, heart, vessels, bones, airways.

A patient is a handful of numbers (`Anatomy`) and every organ a signed distance in mm, so the same
patient can be asked about at any point and at any resolution. Proportions were set by eye against
a real chest CT of the CPTAC-LSCC collection; nobody in particular is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.phantom.shapes import (
    Field,
    capsule,
    ellipsoid,
    smooth_union,
    superellipse,
    tube,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

HILA = ((-36.0, 16.0, 6.0), (40.0, 20.0, 10.0))
"""Where vessels and bronchi enter the right and the left lung: ``(x, y, z)``, mm."""

LEVEL_MM = 24.0
"""Height of one vertebra with its disc, and so the distance between ribs."""


class Organ(IntEnum):
    """Channels of `organs`."""

    BODY = 0
    LEAN = 1  # the body without its subcutaneous fat
    CAGE = 2
    LIVER = 3
    BELLY = 4  # spleen and stomach
    GAS = 5
    HEART = 6
    BLOOD = 7  # chambers and great vessels
    LUNGS = 8
    BONE = 9
    DISC = 10
    CARTILAGE = 11
    AIRWAY = 12


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What differs from patient to patient; lengths in mm."""

    scale: float
    body: tuple[float, float]
    fat: float
    breast: float
    heart: float
    dome: tuple[float, float]
    kyphosis: float
    rib_phase: float
    gas: float
    warp: NDArray[np.float32]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Anatomy:
        """A random adult."""
        fat = rng.uniform(9.0, 30.0)
        return cls(
            scale=float(rng.uniform(0.92, 1.04)),
            body=(139.0 + fat * 1.1, 98.0 + fat * 0.85),
            fat=float(fat),
            breast=float(max(0.0, rng.normal(4.0, 12.0))),
            heart=float(rng.uniform(0.9, 1.1)),
            dome=(float(rng.uniform(-80.0, -64.0)), float(rng.uniform(-92.0, -76.0))),
            kyphosis=float(rng.uniform(2.0, 9.0)),
            rib_phase=float(rng.uniform(0.0, LEVEL_MM)),
            gas=float(rng.uniform(8.0, 18.0)),
            warp=rng.uniform(0.0, 2 * np.pi, (3, 2, 2)).astype(np.float32),
        )


def organs(a: Anatomy, x: Field, y: Field, z: Field) -> dict[Organ, Field]:
    """Signed distances of every organ at points in the phantom's frame.

    Args:
        a: the patient.
        x: to the patient's left, mm; broadcasts with ``y`` and ``z``.
        y: to the back, mm.
        z: to the head, mm.
    """
    x, y, z = _own_frame(a, x, y, z)
    cage, right, left = _cage(x, y, z)
    heart, chambers = _heart(a, x, y, z)
    great = _great_vessels(x, y, z)
    airway = _airways(x, y, z)
    root = np.minimum(great - 5, airway - 3)
    lungs = _lungs(a, (x, y, z), right, left, heart, root)
    body, lean = _body(a, x, y, z, cage)
    bone, disc, cartilage = _bones(a, x, y, z, cage, lean)
    dome_right, dome_left = _domes(a, x, y)
    gut = np.float32(-3) + np.maximum(cage, -z - np.float32(160))
    liver = np.maximum(np.maximum(gut, z - dome_right + 2), x - np.float32(40))
    belly = np.maximum(np.maximum(gut, z - dome_left + 2), np.float32(48) - x - z * np.float32(0.1))
    gas = ellipsoid(x - 55, y + 25, z - np.float32(a.dome[1] - 22), (24.0, a.gas, 12.0))
    fields = {
        Organ.BODY: body,
        Organ.LEAN: lean,
        Organ.CAGE: cage,
        Organ.LIVER: liver,
        Organ.BELLY: belly,
        Organ.GAS: np.maximum(gas, z - dome_left + 6),
        Organ.HEART: heart,
        Organ.BLOOD: np.minimum(chambers, great),
        Organ.LUNGS: lungs,
        Organ.BONE: bone,
        Organ.DISC: disc,
        Organ.CARTILAGE: cartilage,
        Organ.AIRWAY: airway,
    }
    scale = np.float32(a.scale)
    return {organ: np.asarray(field * scale, dtype=np.float32) for organ, field in fields.items()}


def lungs(a: Anatomy, x: Field, y: Field, z: Field) -> Field:
    """Signed distance to the lungs alone (both), for placing and clipping what lies in them."""
    x, y, z = _own_frame(a, x, y, z)
    _, right, left = _cage(x, y, z)
    heart, _ = _heart(a, x, y, z)
    root = np.minimum(_great_vessels(x, y, z) - 5, _airways(x, y, z) - 3)
    found = _lungs(a, (x, y, z), right, left, heart, root)
    return np.asarray(found * np.float32(a.scale), dtype=np.float32)


def to_grid(a: Anatomy, point: tuple[float, float, float]) -> tuple[float, float, float]:
    """A point of the anatomy's own frame in the phantom's frame (the warp, < 6 mm, left out)."""
    x, y, z = (float(c * a.scale) for c in point)
    return x, y, z


def _own_frame(a: Anatomy, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
    """Undo size and a low-frequency warp of a few mm: nobody is an ellipse."""
    inverse = np.float32(1 / a.scale)
    x, y, z = x * inverse, y * inverse, z * inverse
    p = a.warp
    wave = np.float32(2 * np.pi)
    dx = 2.5 * np.sin(y * wave / 150 + p[0, 0, 0]) * np.sin(z * wave / 170 + p[0, 0, 1])
    dx = dx + 2.0 * np.sin(z * wave / 110 + p[0, 1, 0])
    dy = 2.5 * np.sin(x * wave / 160 + p[1, 0, 0]) * np.sin(z * wave / 150 + p[1, 0, 1])
    dy = dy + 1.5 * np.sin(x * wave / 90 + p[1, 1, 0])
    dz = 3.0 * np.sin(x * wave / 140 + p[2, 0, 0]) * np.sin(y * wave / 120 + p[2, 0, 1])
    return x + dx.astype(np.float32), y + dy.astype(np.float32), z + dz.astype(np.float32)


def _taper(z: Field) -> Field:
    """How wide the chest is at a height, 1 at its base and 0 above the apex."""
    u = np.clip((z + 150) / np.float32(274), 0, 1)
    return np.sqrt(np.maximum(1 - u ** np.float32(3.6), np.float32(4e-4)))


def _cage(x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
    """The inside of the rib cage, and the two pleural sacs that make it."""
    s = _taper(z)
    back = 2 + 14 * (1 - s)
    off = 20 + 42 * s
    sacs = []
    for side in (-1, 1):
        wide = np.where(x * side > off, 58 * s + 2, 66 * s + 2).astype(np.float32)
        sacs.append(superellipse(x - side * off, y - back, wide, 90 * s + 1, 2.08))
    middle = superellipse(x, y - back + 4, 94 * s + 6, 78 * s + 6, 2.5)
    cage = smooth_union(np.minimum(sacs[0], sacs[1]), middle, 14.0)
    return cage - 2, sacs[0], sacs[1]


def _domes(a: Anatomy, x: Field, y: Field) -> tuple[Field, Field]:
    """Height of the diaphragm over the liver and over the stomach."""

    def dome(top: float, centre: float) -> Field:
        u, v = (x - np.float32(centre)) / 70, (y + 18) / 92
        return np.asarray(top - 34 * (u * u) - 52 * (v * v) * (v > 0) - 22 * (v * v) * (v <= 0))

    return dome(a.dome[0], -52.0), dome(a.dome[1], 58.0)


def _heart(a: Anatomy, x: Field, y: Field, z: Field) -> tuple[Field, Field]:
    """The heart in its fat, and the blood in it."""
    k = a.heart
    px, py, pz = x - 17, y + 28, z + 44
    # The long axis points left, forward and down.
    along = px * np.float32(0.72) - py * np.float32(0.42) - pz * np.float32(0.55)
    side = px * np.float32(0.50) + py * np.float32(0.86)
    up = px * np.float32(0.48) - py * np.float32(0.28) + pz * np.float32(0.83)
    outer = ellipsoid(along, side, up, (62.0 * k, 46.0 * k, 46.0 * k))
    left = ellipsoid(along - 16, side - 8, up + 6, (30.0 * k, 19.0 * k, 19.0 * k))
    right = ellipsoid(along - 4, side + 22, up - 4, (36.0 * k, 14.0 * k, 26.0 * k))
    atria = ellipsoid(along + 36, side - 4, up - 6, (18.0 * k, 34.0 * k, 26.0 * k))
    return outer, np.minimum(np.minimum(left, right), atria)


AORTA = ((6, -22, -34), (-6, -28, 8), (-8, -24, 34), (4, -8, 50), (18, 18, 50), (26, 40, 34))
AORTA_DOWN = ((26, 40, 34), (25, 46, 0), (20, 48, -70), (12, 48, -160))


def _great_vessels(x: Field, y: Field, z: Field) -> Field:
    aorta = tube(x, y, z, (*AORTA, *AORTA_DOWN[1:]), (15, 15, 14, 13, 12.5, 12, 11.5, 11, 10))
    trunk = tube(x, y, z, ((18, -38, -10), (20, -16, 16), (40, 12, 16)), (13, 12.5, 9))
    right = tube(x, y, z, ((18, -14, 14), (-8, -2, 12), (-38, 12, 8)), (11, 10.5, 8))
    cava = tube(x, y, z, ((-20, -12, 84), (-24, -14, 40), (-24, -10, -14)), (8.5, 9, 10))
    neck = tube(x, y, z, ((20, 8, 50), (26, 2, 100), (30, 4, 150)), (6, 5.5, 5.5))
    arteries = tube(x, y, z, ((0, -10, 50), (-14, -6, 84), (-30, -2, 140)), (6.5, 6, 5.5))
    lower = tube(x, y, z, ((-20, -2, -50), (-22, 4, -110)), (12, 12))
    every = (trunk, right, cava, neck, arteries, lower)
    for vessel in every:
        aorta = np.minimum(aorta, vessel)
    return aorta


def _airways(x: Field, y: Field, z: Field) -> Field:
    """Lumen of trachea and main bronchi."""
    trachea = tube(x, y, z, ((1, 6, 160), (0, 12, 90), (-1, 22, 32)), (8.2, 8.4, 8.6))
    right = tube(x, y, z, ((-1, 22, 33), (-26, 24, 14), (-40, 28, -14)), (6.8, 6.2, 4.2))
    left = tube(x, y, z, ((-1, 22, 33), (24, 26, 14), (44, 32, -6)), (6.4, 5.6, 4.0))
    upper = tube(x, y, z, ((-26, 24, 16), (-37, 20, 22)), (4.4, 3.0))
    gullet = tube(x, y, z, ((5, 34, 150), (6, 38, 30), (8, 40, -120)), (1.5, 1.2, 1.6))
    for branch in (right, left, upper, gullet):
        trachea = np.minimum(trachea, branch)
    return trachea


def _lungs(
    a: Anatomy,
    point: tuple[Field, Field, Field],
    right: Field,
    left: Field,
    heart: Field,
    root: Field,
) -> Field:
    """The pleural sacs without mediastinum, heart, root and what the domes lift."""
    x, y, z = point
    s = _taper(z)
    # The mediastinum: thin in front of the great vessels, wide at the root, the spine behind.
    wall = 9 + 9 * np.exp(-(((y - 22) / 26) ** 2)) + 8 * (1 - s)
    wall = wall + 7 * np.exp(-(((y + 80) / 18) ** 2))
    middle = np.abs(x - 3) - wall.astype(np.float32)
    spine = superellipse(x, y - _spine_y(a, z) - 4, np.float32(23), np.float32(24), 2.4)
    middle = smooth_union(middle, spine, 10.0)
    middle = smooth_union(middle, root, 10.0)
    middle = smooth_union(middle, heart - 2, 8.0)
    dome_right, dome_left = _domes(a, x, y)
    slope = np.float32(0.8)
    one = np.maximum(right, (dome_right - z) * slope)
    two = np.maximum(left, (dome_left - z) * slope)
    return np.maximum(np.maximum(np.minimum(one, two), -middle), z - 116)


def _body(a: Anatomy, x: Field, y: Field, z: Field, cage: Field) -> tuple[Field, Field]:
    """The skin, and the muscle under the fat."""
    wide, deep = a.body
    shoulder = 1 / (1 + np.exp(-(z - 78) / 14))
    half_wide = (wide * (1 + 0.10 * shoulder)).astype(np.float32)
    chest = a.breast * np.exp(-(((z + 10) / 45) ** 2)) * np.exp(-(((np.abs(x) - 72) / 40) ** 2))
    front = deep * (1 - 0.14 * shoulder) + chest - 5 * np.exp(-((x / 24) ** 2))
    half_deep = np.where(y < 0, front, deep * (1 - 0.04 * shoulder)).astype(np.float32)
    body = superellipse(x, y - 2, half_wide, half_deep, 2.25)
    body = smooth_union(body, cage - 17, 24.0)  # even the thinnest chest has a wall
    fat = a.fat * (0.62 + 0.38 * np.clip(np.abs(x) / wide, 0, 1))
    inset = body + fat.astype(np.float32)
    pectoral = ellipsoid(np.abs(x) - 62, y + 84, z - 62, (54.0, 17.0, 46.0))
    dorsal = ellipsoid(np.abs(x) - 112, y - 48, z - 52, (30.0, 50.0, 92.0))
    spinal = superellipse(np.abs(x) - 24, y - 94, np.float32(25), np.float32(16), 2.2)
    lean = np.minimum(cage - 13, np.minimum(pectoral, dorsal))
    lean = smooth_union(lean, spinal, 12.0)
    return body, np.maximum(np.minimum(lean, inset + 4), body + 5)


def _spine_y(a: Anatomy, z: Field) -> Field:
    return np.asarray(66 - a.kyphosis * ((z - 10) / 100) ** 2, dtype=np.float32)


def _bones(
    a: Anatomy, x: Field, y: Field, z: Field, cage: Field, lean: Field
) -> tuple[Field, Field, Field]:
    """All bone; discs between vertebrae; the cartilage that joins ribs to the sternum."""
    spine_y = _spine_y(a, z)
    py = y - spine_y
    level = np.float32(LEVEL_MM)
    height = np.abs((z + np.float32(a.rib_phase)) % level - level / 2)  # 0 in mid-vertebra
    column = superellipse(x, py, np.float32(17), np.float32(14), 2.3)
    disc = np.maximum(column + 1, height * -1 + np.float32(9.5))
    body = np.maximum(column, height - np.float32(9.5))
    # The arch behind the canal, its transverse processes and the spine one feels.
    ring = np.abs(np.hypot(x, py - 21) - np.float32(11)) - np.float32(2.4)
    ring = np.maximum(ring, height - 9)
    sides = _flat_capsule(np.abs(x), py, (10.0, 22.0), (31.0, 31.0), 3.8)
    sides = np.maximum(sides, height - 6)
    process = np.maximum(_flat_capsule(x, py, (0.0, 31.0), (0.0, 44.0), 2.6), height - 8)
    arch = np.minimum(np.minimum(ring, sides), process)
    # Ribs: tilted rings around the cage, one for each vertebra.
    tilt = z - np.float32(0.55) * (y - 70) + np.float32(a.rib_phase)
    step = np.abs(tilt % level - level / 2) * np.float32(0.88)
    across = cage - np.float32(5.0)
    ribs = (np.sqrt((across / np.float32(4.2)) ** 2 + (step / np.float32(6.8)) ** 2) - 1) * 4.4
    front = (np.abs(x) < 62) & (y < -40)
    cartilage = np.where(front, ribs, np.float32(20)).astype(np.float32)
    ribs = np.where(front | (np.abs(x) < 16), np.float32(20), ribs).astype(np.float32)
    sternum = np.sqrt((np.maximum(np.abs(x) - 10, 0) / 6) ** 2 + ((cage - 8) / 6) ** 2) * 6 - 6
    sternum = np.maximum(np.where(y < 0, sternum, np.float32(20)), np.abs(z - 12) - 72)
    collars = (tube(x, y, z, ((20 * s, -70, 92), (125 * s, -18, 128)), (6.2, 5.5)) for s in (-1, 1))
    collar = np.minimum(*collars)
    blade = _scapula(x, y, z)
    bone = np.minimum(np.minimum(body, arch), np.minimum(ribs, sternum))
    bone = np.minimum(bone, np.minimum(collar, blade))
    return np.maximum(bone, lean + 1), disc, cartilage


def _scapula(x: Field, y: Field, z: Field) -> Field:
    blade = _flat_capsule(np.abs(x), y, (86.0, 91.0), (132.0, 44.0), 2.6)
    ridge = _flat_capsule(np.abs(x), y, (112.0, 66.0), (120.0, 88.0), 2.6)
    blade = np.maximum(blade, np.abs(z - 48) - 62)
    return np.minimum(blade, np.maximum(ridge, np.abs(z - 82) - 16))


def _flat_capsule(
    x: Field, y: Field, start: tuple[float, float], end: tuple[float, float], radius: float
) -> Field:
    """A capsule in the axial plane, endless along z."""
    zero = np.zeros((1, 1, 1), dtype=np.float32)
    return capsule(x, y, zero, (*start, 0.0), (*end, 0.0), radius, radius)
