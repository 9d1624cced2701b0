"""Between the lungs: heart, great vessels, windpipe, gullet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.phantom.shapes import Field, ellipsoid, smooth_union

if TYPE_CHECKING:
    from medfed.connectors.phantom.anatomy import Anatomy
    from medfed.connectors.phantom.frame import Chain, Frame

DEEP_MM = 50.0
"""Stands for the distance to the mediastinum where it is not near; no lung is deeper."""

HEART_BOX = ((-75.0, -105.0, -125.0), (105.0, 55.0, 35.0))

AORTA: Chain = (
    (
        (8, -24, -34),
        (-6, -32, 4),
        (-9, -28, 30),
        (0, -16, 46),
        (14, 8, 52),
        (24, 34, 44),
        (28, 46, 26),
        (27, 48, 0),
        (21, 50, -70),
        (10, 50, -200),
    ),
    (15, 15.5, 15, 14, 13, 12.5, 12.5, 12.5, 11.5, 10.5),
)
LUNG_ARTERIES: tuple[Chain, ...] = (
    (((22, -48, -22), (24, -34, 6), (26, -10, 16)), (15, 14, 12)),
    (((24, -14, 14), (-2, 0, 8), (-34, 14, 6)), (12, 11, 9)),
    (((26, -12, 16), (40, 14, 20), (48, 28, 8)), (11.5, 10.5, 8.5)),
    (((-34, 14, 6), (-44, 22, -10), (-50, 30, -34)), (9, 8, 6.5)),
    (((48, 28, 10), (52, 34, -10), (56, 40, -32)), (8.5, 7.5, 6)),
    (((-30, 12, 8), (-44, 6, 24)), (7, 5)),
)
LUNG_VEINS: tuple[Chain, ...] = (
    (((-14, 6, -16), (-42, 4, -6)), (8.5, 6)),
    (((-14, 16, -30), (-40, 30, -40)), (8.5, 6.5)),
    (((30, 12, -8), (46, 4, 6)), (8, 6)),
    (((30, 20, -22), (48, 36, -34)), (8, 6.5)),
)
VEINS: tuple[Chain, ...] = (
    (((-24, -14, 66), (-26, -18, 36), (-24, -10, -12)), (8.5, 9.5, 10.5)),
    (
        ((-24, -16, 64), (4, -38, 62), (30, -34, 82), (40, -14, 116), (40, -6, 200)),
        (6.5, 6.5, 7, 6, 5.5),
    ),
    (((-24, -14, 64), (-32, -18, 96), (-40, -8, 200)), (7.5, 7, 6)),
    (((38, -26, 102), (78, -40, 118), (140, -4, 140)), (6, 6, 5.5)),
    (((-34, -24, 102), (-78, -40, 118), (-140, -4, 140)), (6, 6, 5.5)),
    (((-20, 0, -46), (-24, 8, -110), (-24, 20, -220)), (13, 12.5, 12)),
    (((-9, 50, -220), (-8, 47, 20), (-10, 34, 34), (-22, -4, 36)), (3.0, 3.6, 4.2, 4.5)),
)
NECK_ARTERIES: tuple[Chain, ...] = (
    (((-4, -18, 48), (-14, -14, 82), (-30, 0, 200)), (6.8, 6, 4)),
    (((12, 2, 52), (14, -4, 84), (26, 2, 200)), (4.6, 4.4, 4)),
    (
        ((20, 18, 50), (27, 10, 92), (42, -8, 114), (76, -24, 124), (130, -2, 136)),
        (5.6, 5.4, 5, 4.5, 4.5),
    ),
    (((-16, -12, 84), (-38, -12, 112), (-76, -24, 124), (-130, -2, 136)), (5.2, 5, 4.5, 4.5)),
)
AIRWAYS: tuple[Chain, ...] = (
    (((0, 2, 220), (0, 12, 90), (-1, 24, 36)), (8.6, 8.8, 8.6)),
    (((-2, 24, 36), (-22, 24, 18), (-32, 25, 6), (-40, 30, -18)), (7.4, 6.8, 5.4, 4.6)),
    (((1, 24, 36), (26, 26, 14), (40, 30, 0), (48, 36, -18)), (6.9, 6.2, 5.0, 4.0)),
    (((-24, 24, 18), (-36, 20, 26), (-44, 14, 42)), (4.8, 3.6, 2.6)),
    (((38, 27, 6), (46, 18, 14), (50, 8, 28)), (4.2, 3.4, 2.4)),
    (((-37, 28, -10), (-50, 10, -24)), (3.4, 2.4)),
)
GULLET: Chain = (
    (
        (3, 34, 220),
        (5, 36, 90),
        (4, 40, 36),
        (3, 40, 0),
        (10, 38, -60),
        (18, 34, -92),
        (38, 20, -108),
    ),
    (6.5, 6.5, 6.5, 6.5, 7, 7.5, 8),
)


def heart(a: Anatomy, f: Frame) -> tuple[Field, Field, Field]:
    """The sac with its fat, the muscle, and the blood in the chambers."""
    k = a.heart

    def axes(x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        px, py, pz = x - 20, y + 30, z + 46
        # The long axis points left, forward and down.
        along = px * np.float32(0.74) - py * np.float32(0.44) - pz * np.float32(0.51)
        side = px * np.float32(0.51) + py * np.float32(0.86)
        up = px * np.float32(0.44) - py * np.float32(0.26) + pz * np.float32(0.86)
        return along, side, up

    def sac(x: Field, y: Field, z: Field) -> Field:
        along, side, up = axes(x, y, z)
        outer = ellipsoid(along, side, up, (64.0 * k, 46.0 * k, 46.0 * k))
        atrium = ellipsoid(x + 2, y - 4, z + 22, (36.0, 24.0, 26.0))
        return smooth_union(outer, atrium, 14.0)

    def muscle(x: Field, y: Field, z: Field) -> Field:
        along, _, _ = axes(x, y, z)
        groove = 4.0 * np.exp(-(((along + 14) * np.float32(1 / 9)) ** 2))
        return sac(x, y, z) + 3.5 + groove.astype(np.float32)

    def blood(x: Field, y: Field, z: Field) -> Field:
        along, side, up = axes(x, y, z)
        left = ellipsoid(along - 16, side - 10, up + 4, (32.0 * k, 19.0 * k, 20.0 * k))
        right = ellipsoid(along - 10, side + 22, up - 2, (38.0 * k, 14.0 * k, 30.0 * k))
        atrium = ellipsoid(along + 34, side + 14, up - 2, (17.0 * k, 25.0 * k, 27.0 * k))
        behind = ellipsoid(x + 2, y - 6, z + 21, (31.0, 18.0, 20.0))
        return np.minimum(np.minimum(left, right), np.minimum(atrium, behind))

    low, high = HEART_BOX
    return f.near(low, high, sac, DEEP_MM), f.near(low, high, muscle), f.near(low, high, blood)


def vessels(f: Frame) -> Field:
    """All great vessels."""
    return f.tubes(AORTA, *LUNG_ARTERIES, *LUNG_VEINS, *VEINS, *NECK_ARTERIES)


def airways(f: Frame) -> Field:
    """Lumen of windpipe and main bronchi."""
    return f.tubes(*AIRWAYS)


def gullet(f: Frame) -> Field:
    """The gullet's outside."""
    return f.tubes(GULLET)


def thyroid(f: Frame) -> Field:
    """Its two lobes beside the windpipe."""

    def lobe(x: Field, y: Field, z: Field) -> Field:
        return ellipsoid(np.abs(x) - 16, y - 6, z - 122, (8.0, 11.0, 24.0))

    return f.near((-30, -12, 94), (30, 24, 150), lobe)


def root(f: Frame) -> Field:
    """What pushes the lungs aside at their roots."""
    inner = tuple(((p[:2]), r[:2]) for p, r in LUNG_ARTERIES[3:5])
    vessels_ = f.tubes(
        AORTA, *LUNG_ARTERIES[:3], *inner, *VEINS, *NECK_ARTERIES, reach=16.0, far=DEEP_MM
    )
    return np.minimum(vessels_ - 2.5, f.tubes(*AIRWAYS[:3], reach=16.0, far=DEEP_MM) - 3)
