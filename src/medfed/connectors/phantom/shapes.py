"""Solid shapes as signed distances: negative inside, in mm, smooth enough to interpolate.

Every function broadcasts over its coordinates, so a shape is drawn on a grid given as
``(z, 1, 1), (1, y, 1), (1, 1, x)`` without building three full arrays first. Formulae after
Quilez, "Distance functions".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from medfed.imaging.geometry import Triple

Field = NDArray[np.float32]

FAR_MM = 24.0
"""Distances to tubes are cut off here."""

WARP_MM = 12.0
"""Grids may be warped by less than half of this."""


Length = Field | np.float32 | float
Point = Sequence[float] | NDArray[np.float64]


def superellipse(x: Field, y: Field, a: Length, b: Length, power: float) -> Field:
    """A flattened oval around the origin, by the distance along the ray to its rim."""
    radius = np.sqrt(x * x + y * y) + np.float32(1e-3)
    reach = (np.abs(x / a) ** power + np.abs(y / b) ** power) ** np.float32(1 / power)
    return radius - radius / (reach + np.float32(1e-6))


def ellipsoid(x: Field, y: Field, z: Field, radii: Triple) -> Field:
    """An ellipsoid around the origin (distance good near the surface)."""
    a, b, c = (np.float32(r) for r in radii)
    near = np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
    slope = np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2 + (z / c**2) ** 2)
    return near * (near - 1) / (slope + np.float32(1e-6))


def capsule(x: Field, y: Field, z: Field, start: Point, end: Point, r0: float, r1: float) -> Field:
    """A tube from ``start`` to ``end`` whose radius goes from ``r0`` to ``r1``."""
    axis = [np.float32(e - s) for s, e in zip(start, end, strict=True)]
    px, py, pz = x - np.float32(start[0]), y - np.float32(start[1]), z - np.float32(start[2])
    length2 = sum(a * a for a in axis) + np.float32(1e-6)
    along = np.clip((px * axis[0] + py * axis[1] + pz * axis[2]) / length2, 0, 1)
    dx, dy, dz = px - along * axis[0], py - along * axis[1], pz - along * axis[2]
    distance = np.sqrt(dx * dx + dy * dy + dz * dz)
    return np.asarray(distance - (np.float32(r0) + along * np.float32(r1 - r0)), dtype=np.float32)


def tube(
    x: Field,
    y: Field,
    z: Field,
    points: Sequence[Sequence[float]],
    radii: Sequence[float],
    reach: float = FAR_MM,
) -> Field:
    """A chain of capsules through ``points``; no distance above ``reach`` is told from it.

    On a grid each capsule is drawn only in its neighbourhood, which is most of the speed.
    """
    shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
    x, y, z = (np.broadcast_to(c, shape) for c in (x, y, z))
    distance = np.full(shape, FAR_MM, dtype=np.float32)
    for start, end, r0, r1 in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
        near = _neighbourhood(x, y, z, start, end, max(r0, r1) + reach)
        piece = capsule(x[near], y[near], z[near], start, end, r0, r1)
        distance[near] = np.minimum(distance[near], piece)
    return distance


def _neighbourhood(
    x: Field, y: Field, z: Field, start: Point, end: Point, margin: float
) -> tuple[slice, ...]:
    """Where on a slightly warped ``(z, y, x)`` grid a capsule can be near; everything elsewhere."""
    if x.ndim != 3:
        return (slice(None),) * x.ndim
    axes = (z[:, 0, 0], y[0, :, 0], x[0, 0, :])
    slices = []
    for axis, one, two in zip(axes, start[::-1], end[::-1], strict=True):
        low, high = min(one, two) - margin - WARP_MM, max(one, two) + margin + WARP_MM
        inside = np.flatnonzero((axis >= low) & (axis <= high))
        slices.append(slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0))
    return tuple(slices)


def smooth_union(a: Field, b: Field, blend: float) -> Field:
    """The union of two shapes with a fillet of about ``blend`` mm."""
    near = np.maximum(np.float32(blend) - np.abs(a - b), 0)
    return np.minimum(a, b) - near * near * np.float32(0.25 / blend)


def coverage(distance: Field, edge_mm: float) -> Field:
    """How much of a voxel a shape fills: 1 inside, 0 outside, a ramp of ``edge_mm`` between."""
    return np.clip(np.float32(0.5) - distance * np.float32(1 / edge_mm), 0, 1)
