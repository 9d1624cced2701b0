"""Lung vessels: trees that reach the periphery.

Points scattered through a lung are joined to its root by a spanning tree that balances the length
of wire against the length of the way back (Cuntz, Forstner, Borst and Häusser, "One rule to grow
them all", PLoS Comput Biol 6(8), 2010). Radii follow Murray's law, r³ = r₁³ + r₂³ (Murray, PNAS 12,
1926).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.phantom.anatomy import Anatomy, fissures, lungs, to_grid
from medfed.connectors.phantom.shapes import Field, capsule, coverage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.connectors.phantom.grid import Grid
    from medfed.connectors.phantom.tissue import Tissue

ROOT_MM = 5.0
"""Radius of an artery or vein where it enters the lung."""

WAY_BACK = 0.35
"""Weight of the way to the root against new wire."""

BRONCHUS_MM = 1.5
"""Arteries thicker than this have a bronchus beside them."""

Stem = tuple[tuple[tuple[float, float, float], ...], tuple[int, ...]]

ARTERIES: tuple[Stem, Stem] = (
    (((-36, 14, 6), (-46, 6, 26), (-44, 22, -10), (-50, 30, -34)), (0, 0, 0, 2)),
    (((46, 22, 14), (50, 12, 32), (52, 34, -10), (56, 40, -32)), (0, 0, 0, 2)),
)
VEINS: tuple[Stem, Stem] = (
    (((-26, 10, -20), (-42, 4, -6), (-40, 30, -40)), (0, 0, 0)),
    (((32, 16, -14), (46, 4, 6), (48, 36, -34)), (0, 0, 0)),
)
"""Where trees begin, right and left, in the anatomy's own frame: points, and each one's parent."""


@dataclass(frozen=True, eq=False)
class Tree:
    """Branches as tapered tubes.

    Attributes:
        start: (n, 3) ``(x, y, z)``, mm.
        end: (n, 3), mm.
        radius: (n, 2) at start and end, mm.
        artery: (n,) True for arteries, False for veins.
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radius: NDArray[np.float64]
    artery: NDArray[np.bool_]


def grow(a: Anatomy, rng: np.random.Generator, tips: int) -> Tree:
    """Arteries and veins of both lungs, as one set of branches.

    Args:
        a: the patient.
        rng: its stream.
        tips: attractor points in each lung.
    """
    parts = []
    for side, arteries, veins in zip((-1, 1), ARTERIES, VEINS, strict=True):
        points = _scatter(a, rng, tips, side)
        vein = rng.random(len(points)) < 0.45  # they share the lung's points
        for stem, own in ((arteries, points[~vein]), (veins, points[vein])):
            branches = _tree(np.asarray([to_grid(a, p) for p in stem[0]]), stem[1], own)
            parts.append((*branches, np.full(len(branches[0]), stem is arteries)))
    return Tree(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _scatter(a: Anatomy, rng: np.random.Generator, count: int, side: int) -> NDArray[np.float64]:
    """Points of one lung, away from its surface and from the fissure."""
    low, high = np.array([6.0, -92.0, -150.0]), np.array([128.0, 100.0, 118.0])
    points = rng.uniform(low, high, (count * 6, 3)) * a.scale
    points[:, 0] *= side
    x, y, z = points.astype(np.float32).T
    inside = (lungs(a, x, y, z) < -2.5) & (np.abs(fissures(a, x, y, z)) > 4)
    return points[inside][:count]


def _tree(
    stem: NDArray[np.float64], parents: tuple[int, ...], points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    nodes = np.vstack([stem, points])
    parent, order = _span(nodes, parents)
    load = np.ones(len(nodes))  # r³, in units of a tip's
    for node in order[:0:-1]:
        load[parent[node]] += load[node]
    radius = ROOT_MM * np.cbrt(load / load[0])
    nodes = _relax(nodes, parent, len(stem))
    child = order[1:]
    begin = np.minimum(radius[parent[child]], radius[child] * 1.25)
    return nodes[parent[child]], nodes[child], np.stack([begin, radius[child]], axis=1)


def _span(
    nodes: NDArray[np.float64], given: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Prim's algorithm with Cuntz's cost; parents, and the order in which nodes were joined.

    The first nodes have the given parents, each one's before it.
    """
    count = len(nodes)
    parent = np.zeros(count, dtype=np.intp)
    order = np.zeros(count, dtype=np.intp)
    way, length = np.zeros(count), np.zeros(count)
    cost = np.full(count, np.inf)
    joined = np.zeros(count, dtype=bool)
    for step in range(count):
        new = step if step < len(given) else int(cost.argmin())
        if step < len(given):
            parent[new] = given[step]
            length[new] = np.linalg.norm(nodes[new] - nodes[parent[new]])
        joined[new], cost[new], order[step] = True, np.inf, new
        way[new] = way[parent[new]] + length[new]
        wire = np.linalg.norm(nodes - nodes[new], axis=1)
        offer = wire + WAY_BACK * (way[new] + wire)
        better = (offer < cost) & ~joined
        parent[better], cost[better], length[better] = new, offer[better], wire[better]
    return parent, order


def _relax(nodes: NDArray[np.float64], parent: NDArray[np.intp], fixed: int) -> NDArray[np.float64]:
    """Straighten bends: pull every inner node towards the middle of its neighbours."""
    for _ in range(2):
        children = np.zeros_like(nodes)
        count = np.zeros(len(nodes))
        np.add.at(children, parent[1:], nodes[1:])
        np.add.at(count, parent[1:], 1.0)
        inner = count > 0
        inner[:fixed] = False
        middle = (children[inner] / count[inner, None] + nodes[parent[inner]]) / 2
        nodes = nodes.copy()
        nodes[inner] += 0.55 * (middle - nodes[inner])
    return nodes


def paint(hu: Field, grid: Grid, tree: Tree, tissue: Tissue) -> None:
    """Draw a tree, thickest branches last, with bronchi beside the first ones; in place."""
    sharpest = float(np.mean(grid.spacing[1:]))
    voxel = max(sharpest, 0.5 * (sharpest + grid.spacing[0]))
    thinnest = 0.12 * voxel
    for i in np.argsort(tree.radius[:, 1], kind="stable"):
        r0, r1 = (float(r) for r in tree.radius[i])
        if r1 < thinnest:
            continue
        start, end = tree.start[i], tree.end[i]
        tube_(hu, grid, start, end, (r0, r1), tissue.blood - 15, voxel)
    wide = tree.artery & (tree.radius[:, 1] > max(BRONCHUS_MM, 0.5 * voxel))
    for i in np.flatnonzero(wide):
        r = 0.66 * float(tree.radius[i, 1])
        aside = np.asarray([0.0, 2.0, 0.7]) * float(tree.radius[i].mean())
        start, end = tree.start[i] + aside, tree.end[i] + aside
        wall = 0.4 + 0.12 * r
        tube_(hu, grid, start, end, (r + wall, r + wall), -40.0, voxel)
        tube_(hu, grid, start, end, (r, r), -970.0, voxel)


def tube_(
    hu: Field,
    grid: Grid,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: tuple[float, float],
    value: float,
    voxel: float,
) -> None:
    """Draw one tapered tube in place.

    A tube thinner than a voxel is widened to it and paled by the share of the voxel that it fills,
    which is what a scanner does to it.
    """
    thin = max(min(radius), 0.05)
    wide = float(np.hypot(thin, 0.45 * voxel))
    share = min(1.0, (thin / wide) ** 2 * 1.15)
    grow_by = wide - thin
    reach = max(radius) + grow_by + voxel
    low, high = np.minimum(start, end) - reach, np.maximum(start, end) + reach
    box = grid.box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    if box is None:
        return
    z, y, x = grid.z[box[0]], grid.y[box[1]], grid.x[box[2]]
    mesh = (x[None, None, :], y[None, :, None], z[:, None, None])
    line = capsule(*mesh, start, end, radius[0] + grow_by, radius[1] + grow_by)
    patch = hu[box]
    patch += share * coverage(line, voxel) * (np.float32(value) - patch)
