"""Bones: spine, ribs, breastbone, collar bones, shoulder blades, upper arms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.phantom.frame import Chain, Frame, ramp
from medfed.connectors.phantom.shapes import Field, capsule, superellipse

if TYPE_CHECKING:
    from medfed.connectors.phantom.anatomy import Anatomy

LEVEL_MM = 24.0
"""Height of one vertebra with its disc, and so the distance between ribs."""

BLADE_MM = 21.0
"""How far outside the rib cage's inner wall the shoulder blades glide."""


def spine_y(a: Anatomy, z: Field) -> Field:
    """Where the middle of the vertebrae lies."""
    return np.asarray(66 - a.kyphosis * ((z - 10) / 100) ** 2, dtype=np.float32)


def spine(a: Anatomy, f: Frame) -> tuple[Field, Field, Field]:
    """Vertebrae with arches, the discs between them, and the canal."""

    def heights(z: Field) -> Field:
        level = np.float32(LEVEL_MM)
        return np.abs((z + np.float32(a.rib_phase)) % level - level / 2)  # 0 in mid-vertebra

    def bodies(x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        size = 1 - 0.14 * ramp(z, -60, 130)
        py = y - spine_y(a, z)
        h = heights(z)
        waist = 1.6 * (1 - (h * np.float32(1 / 10)) ** 2)
        hollow = 3.0 * np.maximum(1 - (x * np.float32(1 / 12)) ** 2, 0) * (py > 0)
        column = superellipse(x, py, 18 * size, 14.5 * size, 2.35) + waist + hollow
        return column, py, h

    def vertebra(x: Field, y: Field, z: Field) -> Field:
        column, py, h = bodies(x, y, z)
        body = np.maximum(column, (h - np.float32(9.8)) * 2)  # thin end plates
        return np.minimum(body, _arch(x, py, h))

    def disc(x: Field, y: Field, z: Field) -> Field:
        column, _, h = bodies(x, y, z)
        return np.maximum(column + 2, np.float32(9.8) - h)

    def canal(x: Field, y: Field, z: Field) -> Field:
        py = y - spine_y(a, z)
        return superellipse(x, py - 21.5, np.float32(10), np.float32(8.5), 2.0)

    box = ((-60.0, 30.0, -400.0), (60.0, 130.0, 400.0))
    return f.near(*box, vertebra), f.near(*box, disc), f.near(*box, canal)


def _arch(x: Field, py: Field, h: Field) -> Field:
    """The arch behind the canal, its transverse processes and the spine one feels."""
    wide = np.abs(x)
    pedicle = np.maximum(_flat(wide, py, (12.0, 8.0), (12.5, 20.0), 3.4), h - 6)
    lamina = np.maximum(_flat(wide, py, (13.5, 21.0), (3.0, 32.5), 2.9), h - 9.5)
    sides = np.maximum(_flat(wide, py, (13.0, 22.0), (31.0, 30.0), 4.0), h - 5.5)
    process = _flat(x, py, (0.0, 32.0), (0.0, 45.0), 2.7)
    process = np.minimum(process, _flat(x, py, (0.0, 46.0), (0.0, 47.0), 4.0))
    process = np.maximum(process, h - 9.5)
    return np.minimum(np.minimum(pedicle, lamina), np.minimum(sides, process))


def ribs(a: Anatomy, f: Frame, wall: Field) -> tuple[Field, Field]:
    """Tilted rings around the cage, one for each vertebra; bone, and cartilage in front."""
    level = np.float32(LEVEL_MM)
    wide = np.abs(f.x)
    # Ribs fall forwards, and rise again where cartilage joins them to the breastbone.
    drop = np.minimum(0.58 * (70 - f.y), 74 + 0.1 * (70 - f.y))
    climb = 0.45 * np.maximum(64 - wide, 0) * ramp(f.plain[1], -20, -60)
    tilt = f.z + drop - climb + np.float32(a.rib_phase)
    step = np.abs(tilt % level - level / 2) * np.float32(0.88)
    across = (wall - np.float32(5.0)) * np.float32(1 / 4.0)
    rib = (np.sqrt(across * across + (step * np.float32(1 / 6.6)) ** 2) - 1) * np.float32(4.4)
    x, y, z = f.plain
    front = ramp(y, -38, -44) * ramp(np.abs(x), 66, 60)
    bone = rib + 30 * np.maximum(front, ramp(np.abs(x), 20, 14))
    gristle = rib + 0.6 + 30 * np.maximum(1 - front, ramp(z, -95, -125))
    return bone, gristle


def breastbone(f: Frame, wall: Field) -> Field:
    """Manubrium, body and xiphoid process; it follows the cage."""

    def half(z: Field) -> Field:
        return 15 + 9 * ramp(z, 40, 70) - 7 * ramp(z, -50, -66)

    plate = np.maximum(np.abs(f.x) - half(f.plain[2]) + 5, 0)
    slab = np.sqrt(plate * plate + ((wall - 8) * np.float32(5 / 6)) ** 2) - 5
    joint = np.maximum(2.0 - np.abs(f.z - 56), 0) * 2
    bone = np.where(f.y < 0, slab, np.float32(24)) + joint
    return np.asarray(np.maximum(bone, np.maximum(f.z - 88, -72 - f.z)), dtype=np.float32)


def shoulder_bones(f: Frame) -> Field:
    """Collar bones, the thick parts of the shoulder blades, and the heads of the upper arms."""
    chains: list[Chain] = []
    for s in (-1, 1):
        collar = ((20 * s, -56, 90), (52 * s, -54, 102), (96 * s, -26, 116), (140 * s, 2, 128))
        border = ((118 * s, 34, 98), (117 * s, 62, 40), (96 * s, 84, -16))
        ridge = ((84 * s, 88, 80), (116 * s, 76, 96), (146 * s, 34, 130))
        socket = ((124 * s, 30, 96), (134 * s, 22, 118))
        arm = ((160 * s, 16, 126), (176 * s, 6, 150), (196 * s, -8, 230))
        chains += [
            (collar, (7.5, 6.0, 5.5, 6.0)),
            (border, (5.5, 4.0, 3.0)),
            (ridge, (2.5, 4.0, 6.0)),
            (socket, (8.0, 9.0)),
            (arm, (23.0, 19.0, 12.0)),
        ]
    return f.tubes(*chains)


def blade(f: Frame) -> Field:
    """Where the shoulder blades are on their gliding surface; its thickness is added in paint."""

    def region(x: Field, y: Field, z: Field) -> Field:
        wide = np.abs(x)
        # A triangle that points down: its inner border near upright, its outer one slanting.
        inner = 74 + 0.10 * np.abs(z - 40) - wide
        outer = 34 + 0.42 * np.clip(94 - z, 0, 120) - y
        return np.maximum(np.maximum(inner, outer * np.float32(0.9)), np.abs(z - 40) - 60)

    return f.near((-160, 10, -40), (160, 130, 120), region)


def _flat(
    x: Field, y: Field, start: tuple[float, float], end: tuple[float, float], radius: float
) -> Field:
    """A capsule in the axial plane, endless along z."""
    zero = np.zeros((1,) * x.ndim, dtype=np.float32)
    return capsule(x, y, zero, (*start, 0.0), (*end, 0.0), radius, radius)
