"""The body's outside: rib cage, muscles, fat and skin, breasts, shoulders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.phantom.frame import Frame, bump, ramp
from medfed.connectors.phantom.shapes import Field, capsule, ellipsoid, smooth_union, superellipse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.connectors.phantom.anatomy import Anatomy

APEX_MM = 116.0
"""Height of the top of the lungs."""


@dataclass(frozen=True, eq=False)
class Cage:
    """Distances to the inside of the ribs, and to the two pleural sacs that make it."""

    wall: Field
    right: Field
    left: Field
    taper: Field


def taper(z: Field) -> Field:
    """How wide the chest is at a height, 1 at its base and 0 above the apex."""
    u = np.clip((z + 150) / np.float32(274), 0, 1)
    u2 = u * u
    return np.sqrt(np.maximum(1 - u2 * np.sqrt(u2 * u), np.float32(4e-4)))


def cage(f: Frame) -> Cage:
    """The rib cage."""
    s = taper(f.z)
    back = 2 + 14 * (1 - s)
    off = 20 + 42 * s
    y = f.y - back
    deep = 90 * s + 1
    # Fuller towards the back, where the lungs lie beside the spine.
    y = np.where(y > 0, y * np.float32(0.985), y * np.float32(1.02))
    sacs = []
    for side in (-1, 1):
        x = f.x * side - off
        wide = np.where(x > 0, 58 * s + 2, 66 * s + 2)
        sacs.append(superellipse(x, y, wide, deep, 2.25))
    middle = superellipse(f.x, f.y - back + 4, 94 * s + 6, 78 * s + 6, 2.5)
    wall = smooth_union(np.minimum(sacs[0], sacs[1]), middle, 14.0)
    return Cage(wall - 2, sacs[0], sacs[1], s)


def inlet(f: Frame) -> Field:
    """The space of neck vessels, windpipe and gullet above the chest."""

    def draw(x: Field, y: Field, z: Field) -> Field:
        ring = superellipse(x, y - 8, np.float32(40), np.float32(30), 2.2)
        return np.maximum(ring, 84 - z)

    return f.near((-60, -45, 75), (60, 60, 400), draw)


def muscle_mm(a: Anatomy, f: Frame) -> Field:
    """Thickness of the muscles over the ribs."""
    x, y, z = f.plain
    wide = np.abs(x)
    front, back = ramp(y, 15, -35), ramp(y, -10, 35)
    level = ramp(z, -45, 40) * ramp(z, 118, 92)
    thick = np.zeros(f.x.shape, dtype=np.float32)
    thick += 17 * front * level * bump(wide, 66, 66)  # pectorals
    thick += 8 * bump(y, 0, 85) * ramp(z, 70, 30)  # serratus
    thick += 8 * back * bump(wide, 112, 46) * ramp(z, 80, 20)  # latissimus
    thick += 24 * ramp(y, 45, 75) * bump(wide, 20, 46)  # erector spinae
    thick += 20 * ramp(y, 0, 35) * ramp(wide, 56, 84) * ramp(z, -25, 25)  # around the scapula
    thick += 6 * ramp(y, 40, 70) * ramp(z, 0, 60)  # trapezius
    thick += 24 * ramp(y, 10, 50) * ramp(z, 50, 105)  # above the shoulder blades
    return np.asarray(thick * np.float32(a.muscle))


def shoulders(f: Frame) -> Field:
    """Shoulder and upper arm, raised as for a scan, and the neck's muscles."""

    def side(x: Field, y: Field, z: Field) -> Field:
        x = np.abs(x)
        deltoid = ellipsoid(x - 156, y - 14, z - 130, (44.0, 42.0, 52.0))
        fold = capsule(x, y, z, (100.0, 72.0, 10.0), (150.0, 26.0, 118.0), 20.0, 26.0)
        chest = capsule(x, y, z, (64.0, -46.0, 66.0), (140.0, -8.0, 118.0), 13.0, 17.0)
        arm = smooth_union(deltoid, smooth_union(fold, chest, 12.0), 14.0)
        return np.asarray(smooth_union(arm, _bridge(x, y, z), 26.0))

    def neck(x: Field, y: Field, z: Field) -> Field:
        wide = 58 + np.clip(128 - z, 0, 60) * np.float32(0.9)
        ring = superellipse(x, y - 22, wide, np.float32(54), 2.3)
        return np.maximum(ring, 82 - z)

    return smooth_union(
        f.near((-400, -150, -40), (400, 150, 400), side, 99.0),
        f.near((-150, -150, 30), (150, 150, 400), neck, 99.0),
        16.0,
    )


def _bridge(x: Field, y: Field, z: Field) -> Field:
    """Between neck and shoulder: trapezius, supraspinatus, what the collar bone carries."""
    return ellipsoid(x - 84, y - 20, z - 116, (84.0, 44.0, 24.0))


def back_mm(a: Anatomy) -> float:
    """Where the skin of the back lies."""
    return a.body[1] + 10 + 9 * a.muscle


def body(a: Anatomy, f: Frame, wall: Field) -> tuple[Field, Field, Field]:
    """The skin, the muscles under the fat, and the breasts' glands."""
    above = shoulders(f)
    lean = wall - 10.5 - muscle_mm(a, f)
    lean = smooth_union(lean, above, 14.0)
    wide, deep = a.body
    px, py, pz = f.plain
    x, high = np.abs(px), ramp(pz, 45, 120)
    front = deep * (1 - 0.20 * high) - 5 * bump(px, 0, 40)
    rear = back_mm(a) - 16 * ramp(pz, 60, 130)
    half_deep = np.where(py < 0, front, rear - 4 * bump(f.x, 0, 26))
    half_deep = half_deep * (1 - 0.42 * ramp(pz, 108, 170))  # the neck
    half_wide = wide * (1 + 0.06 * high - 0.5 * ramp(pz, 116, 170))
    skin = superellipse(f.x, f.y - 2, _f32(half_wide), _f32(half_deep), 2.4)
    # Fat lies thickest at the sides and the front of the belly, thin over breastbone and spine.
    fat = a.fat * (0.45 + 0.4 * ramp(x, 20, 120) + 0.25 * ramp(pz, -20, -130))
    skin = smooth_union(skin, wall - 17, 24.0)
    skin = smooth_union(skin, _f32(above - fat), 30.0)
    # Lying flattens the back, but for the groove over the spine.
    rest = _f32(f.y - back_mm(a) + 4 + 3 * bump(f.x, 0, 30))
    skin = -smooth_union(-skin, -rest, 20.0)
    gland = np.full(f.x.shape, np.float32(24.0))
    if a.breast > 3:
        skin, gland = _breasts(a, f, skin)
    under_fat = _f32(skin + np.maximum(0.8 * fat, 4.0))
    return skin, -smooth_union(-lean, -under_fat, 6.0), gland


def _f32(values: NDArray[np.floating]) -> Field:
    return np.asarray(values, dtype=np.float32)


def _breasts(a: Anatomy, f: Frame, skin: Field) -> tuple[Field, Field]:
    """Lying on the back, breasts are low and slide to the side."""
    size = a.breast
    side = 66.0 + 0.7 * size

    def draw(x: Field, y: Field, z: Field) -> Field:
        x = np.abs(x) - np.float32(side)
        forward = y + np.float32(a.body[1] - 16)
        return ellipsoid(x, forward, z + 6, (52.0 + size, 16.0 + size, 58.0 + size))

    low, high = (-180.0, -190.0, -110.0), (180.0, 0.0, 100.0)
    lump = f.near(low, high, draw)

    def inner(x: Field, y: Field, z: Field) -> Field:
        x, y = np.abs(x) - np.float32(side + 2), y + np.float32(a.body[1] - 8)
        return ellipsoid(x, y, z + 6, (30.0, 0.55 * size + 4.0, 30.0))

    gland = f.near(low, high, inner)
    return smooth_union(skin, lump, 26.0), gland
