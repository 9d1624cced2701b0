"""Nodules.

Sizes follow LUNA16's table (Setio et al., Medical Image Analysis 42, 2017; 1,186 nodules with
percentiles 5/25/50/75/95 of 4.1/5.1/6.4/9.7/19.0 mm), which 3 + lognormal(1.33, 0.82) mm fits. A
``small`` phantom has voxels of 3-4 mm, in which most of those cannot be seen: there sizes are
8 + lognormal(1.8, 0.55) mm, clipped to 8-25 mm. That is a bias, made so that a demo can learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

from medfed.connectors.phantom.anatomy import Anatomy, lungs
from medfed.connectors.phantom.shapes import Field, capsule, ellipsoid, smooth_union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from medfed.connectors.phantom.grid import Grid
    from medfed.connectors.phantom.vessels import Tree
    from medfed.imaging.geometry import Triple

Coordinates = tuple[Field, Field, Field]
Kind = Literal["solid", "lobulated", "spiculated", "ground-glass", "part-solid", "calcified"]
Place = Literal["free", "juxta-pleural", "juxta-vascular"]

KINDS: dict[Kind, float] = {
    "solid": 0.40,
    "lobulated": 0.16,
    "spiculated": 0.14,
    "ground-glass": 0.10,
    "part-solid": 0.12,
    "calcified": 0.08,
}
PLACES: dict[Place, float] = {"free": 0.50, "juxta-pleural": 0.28, "juxta-vascular": 0.22}

SUBVOXEL_MM = 1.3
"""Nodules are drawn on a finer grid and averaged, so that small ones keep their volume."""


@dataclass(frozen=True)
class Nodule:
    """One nodule as drawn.

    Attributes:
        centre: centroid ``(x, y, z)`` in the phantom's frame, mm.
        diameter_mm: of the sphere with the nodule's volume.
        kind: what it is made of.
        place: what it touches.
    """

    centre: Triple
    diameter_mm: float
    kind: Kind
    place: Place


@dataclass(frozen=True, eq=False)
class Scene:
    """What nodules are drawn into, in place: the CT, its mask, their grid, and whose chest."""

    hu: Field
    mask: NDArray[np.uint8]
    grid: Grid
    anatomy: Anatomy


def draw_sizes(rng: np.random.Generator, size: str, shift: float) -> NDArray[np.float64]:
    """Diameters in mm of one patient's nodules.

    Args:
        rng: the patient's stream.
        size: ``small`` (1-4 nodules, 8-25 mm) or ``full`` (LUNA16's; a quarter of the patients has
            none, the others 2.0 on average).
        shift: the hospital's own mix, added to the logarithm's mean.
    """
    if size == "small":
        count = 1 + min(3, int(rng.poisson(1.0)))
        return np.clip(8.0 + rng.lognormal(1.8 + shift, 0.55, count), 8.0, 25.0)
    count = 0 if rng.random() < 0.25 else 1 + min(7, int(rng.poisson(1.0)))
    return np.clip(3.0 + rng.lognormal(1.33 + shift, 0.82, count), 4.0, 30.0)


def add_nodules(
    scene: Scene,
    tree: Tree,
    sizes: NDArray[np.float64],
    rng: np.random.Generator,
    others: Sequence[tuple[Triple, float]] = (),
) -> tuple[Nodule, ...]:
    """Draw nodules of the given diameters (mm) into a scene, largest first.

    A nodule for which the lung has no room is left out. They keep away from ``others``, centres
    ``(x, y, z)`` and radii in mm.
    """
    points, depth = points_in_lungs(scene.anatomy, scene.grid, rng)
    taken = [(np.asarray(centre), radius) for centre, radius in others]
    found: list[Nodule] = []
    for diameter in np.sort(sizes)[::-1]:
        radius = float(diameter) / 2
        kind = list(KINDS)[rng.choice(len(KINDS), p=list(KINDS.values()))]
        place = list(PLACES)[rng.choice(len(PLACES), p=list(PLACES.values()))]
        centre = _choose(points, depth, tree, taken, radius, place, rng)
        if centre is None:
            continue
        nodule = _draw(scene, centre, radius, kind, place, rng)
        if nodule is not None:
            taken.append((centre, radius))
            found.append(nodule)
    return tuple(found)


def points_in_lungs(
    a: Anatomy, grid: Grid, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Random points in the lungs, (n, 3), and how deep they lie, mm."""
    edges = [(axis[0] + 6, axis[-1] - 6) for axis in (grid.x, grid.y, grid.z)]
    reach = np.asarray([128.0, 98.0, 116.0]) * a.scale
    low = np.maximum([e[0] for e in edges], -reach)
    high = np.minimum([e[1] for e in edges], reach)
    points = rng.uniform(low, high, (6000, 3))
    depth = -lungs(a, *points.astype(np.float32).T).astype(np.float64)
    inside = depth > 0.5
    return points[inside], depth[inside]


def _choose(
    points: NDArray[np.float64],
    depth: NDArray[np.float64],
    tree: Tree,
    taken: list[tuple[NDArray[np.float64], float]],
    radius: float,
    place: str,
    rng: np.random.Generator,
) -> NDArray[np.float64] | None:
    fits = depth > radius + 3.0
    if place == "juxta-pleural":
        fits = (depth > 0.35 * radius) & (depth < 0.75 * radius)
    if place == "juxta-vascular":
        thick = tree.end[tree.radius[:, 1] > 1.0]
        if len(thick):
            gap = np.min(np.linalg.norm(points[:, None] - thick[None, ::3], axis=2), axis=1)
            near = fits & (np.abs(gap - radius) < 2.0)
            fits = near if near.any() else fits
    for centre, other in taken:
        fits &= np.linalg.norm(points - centre, axis=1) > radius + other + 8.0
    choices = np.flatnonzero(fits)
    if not len(choices):
        return None
    return np.asarray(points[rng.choice(choices)])


def _draw(
    scene: Scene,
    centre: NDArray[np.float64],
    radius: float,
    kind: Kind,
    place: Place,
    rng: np.random.Generator,
) -> Nodule | None:
    grid = scene.grid
    reach = radius * 1.9 + max(grid.spacing)
    low, high = centre - reach, centre + reach
    box = grid.box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    if box is None:
        return None
    fold = tuple(max(1, round(s / SUBVOXEL_MM)) for s in grid.spacing)
    z, y, x = (
        _finer(axis[part], n)
        for axis, part, n in zip((grid.z, grid.y, grid.x), box, fold, strict=True)
    )
    mesh = (x[None, None, :], y[None, :, None], z[:, None, None])
    local = (
        x[None, None, :] - np.float32(centre[0]),
        mesh[1] - np.float32(centre[1]),
        mesh[2] - np.float32(centre[2]),
    )
    lung = lungs(scene.anatomy, *mesh) < 0.8
    shape = _shape(local, radius, kind, rng)
    solid = (shape < 0) & lung
    volume = float(solid.sum() * np.prod([s / n for s, n in zip(grid.spacing, fold, strict=True)]))
    if volume <= 0:
        return None
    patch = scene.hu[box]

    def lay(inside: NDArray[np.bool_] | Field, value: float, density: float = 1.0) -> Field:
        share = _average(np.asarray(inside, dtype=np.float32), fold)
        patch[...] += density * share * (np.float32(value) - patch)
        return share

    if kind == "spiculated":
        lay(_spikes(local, radius, rng) & lung, float(rng.uniform(-150, -20)))
    if kind in {"ground-glass", "part-solid"}:
        glass = np.clip(0.5 - shape / np.float32(0.35 * radius), 0, 1) * lung
        haze = _average(glass, fold) * _patchy(patch.shape, grid.spacing, rng)
        # Vessels stay visible through it: only what is paler becomes denser.
        patch += haze * np.maximum(np.float32(rng.uniform(-640, -460)) - patch, 0)
        share = _average(solid.astype(np.float32), fold)
        if kind == "part-solid":
            lay((shape < -0.45 * radius) & lung, float(rng.uniform(-20, 40)))
    else:
        share = lay(solid, float(rng.uniform(5, 60)))
    if kind == "calcified":
        lay((shape < -0.3 * radius) & lung, float(rng.uniform(220, 520)))
    inside = share >= 0.5
    if not inside.any():
        inside = share == share.max()
    scene.mask[box][inside] = 1
    where = [float((p * solid).sum() / solid.sum()) for p in mesh]
    size = float(np.cbrt(6 * volume / np.pi))
    return Nodule((where[0], where[1], where[2]), size, kind, place)


def _shape(local: Coordinates, radius: float, kind: str, rng: np.random.Generator) -> Field:
    """A lump of about the radius: an ellipsoid with bumps, or grown-together balls."""
    x, y, z = local
    ratio = np.exp(rng.normal(0.0, 0.10, 3))
    a, b, c = (radius * ratio / np.cbrt(ratio.prod())).tolist()
    if kind == "lobulated":
        distance = ellipsoid(x, y, z, (0.8 * a, 0.8 * b, 0.8 * c))
        for direction in directions(int(rng.integers(3, 6)), rng):
            off = direction * radius * 0.55
            ball = 0.56 * radius * rng.uniform(0.8, 1.1)
            lobe = ellipsoid(x - off[0], y - off[1], z - off[2], (ball, ball, ball))
            distance = smooth_union(distance, lobe.astype(np.float32), 0.2 * radius)
        return distance
    bumps = np.float32(0)
    for direction in directions(3, rng):
        wave = (x * direction[0] + y * direction[1] + z * direction[2]) * (2.6 / radius)
        bumps = bumps + np.sin(wave + rng.uniform(0, 6.28)).astype(np.float32)
    return np.asarray(ellipsoid(x, y, z, (a, b, c)) + 0.045 * radius * bumps, dtype=np.float32)


def _spikes(local: Coordinates, radius: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Strands that radiate from the surface; not part of the mask."""
    found = np.zeros(np.broadcast_shapes(*(p.shape for p in local)), dtype=bool)
    for direction in directions(int(rng.integers(9, 16)), rng):
        tip = direction * radius * rng.uniform(1.35, 1.75)
        spike = capsule(*local, direction * radius * 0.7, tip, 0.16 * radius, 0.03 * radius)
        found |= spike < 0
    return found


def directions(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random unit vectors, (count, 3)."""
    found = rng.normal(size=(count, 3))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def _patchy(shape: tuple[int, ...], spacing: Triple, rng: np.random.Generator) -> Field:
    """Around 1, uneven over about 2 mm."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, [min(1.5, 1.0 / s) for s in spacing])
    return np.asarray(1 + np.float32(0.15) * noise / (noise.std() + np.float32(1e-3)))


def _finer(axis: Field, fold: int) -> Field:
    step = float(axis[1] - axis[0]) if len(axis) > 1 else 1.0
    inner = ((np.arange(fold) + 0.5) / fold - 0.5) * step
    return (axis[:, None] + inner).ravel().astype(np.float32)


def _average(field: Field, fold: tuple[int, ...]) -> Field:
    z, y, x = field.shape
    blocks = field.reshape(z // fold[0], fold[0], y // fold[1], fold[1], x // fold[2], fold[2])
    return np.asarray(blocks.mean(axis=(1, 3, 5)), dtype=np.float32)
