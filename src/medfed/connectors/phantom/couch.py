"""What lies around the patient: the couch, its mattress, a blanket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medfed.connectors.phantom.shapes import Field, coverage

if TYPE_CHECKING:
    from medfed.connectors.phantom.grid import Grid

AIR = -1000.0


def room(grid: Grid, top: float | None) -> Field:
    """What every slice shows without a patient, HU, (rows, columns).

    A carbon shell, curved, with foam in it; on it a thin mattress.

    Args:
        grid: of the volume.
        top: height of the couch's surface, mm; None for no couch.
    """
    x, y = grid.x[None, :], grid.y[:, None]
    hu = np.full((len(grid.y), len(grid.x)), np.float32(AIR))
    if top is None:
        return hu
    edge = float(np.mean(grid.spacing[1:]))
    bow = np.float32(400)
    depth = np.hypot(x, y + bow - np.float32(top)) - bow
    lower = y - np.float32(top + 34) + x * x * np.float32(1 / 1100)
    inside = np.maximum(-depth, lower)
    for distance, value in (
        (np.maximum(depth, -depth - 11), -965.0),
        (inside, -930.0),
        (np.abs(inside) - 0.9, -380.0),
    ):
        hu += coverage(distance, edge) * (np.float32(value) - hu)
    return hu


def blanket(hu: Field, grid: Grid, box: tuple[slice, slice], skin: Field) -> None:
    """Cloth over the patient's front, in place; too thin to see in large voxels.

    Args:
        hu: some slices.
        grid: of the volume.
        box: rows and columns.
        skin: distances to the skin there.
    """
    rows, columns = box
    edge = float(np.mean(grid.spacing[1:]))
    if not skin.size or edge >= 3:
        return
    x, y = grid.x[columns], grid.y[rows]
    front = np.flatnonzero(y < 60)
    skin = skin[:, front]
    fold = 3.0 + 2.2 * np.sin(x * np.float32(0.11)) * np.sin(x * np.float32(0.043) + 1.3)
    cloth = np.abs(skin - np.maximum(fold, 0.8)) - np.float32(0.35)
    under = hu[:, rows.start : rows.start + len(front), columns]
    under += 0.8 * coverage(cloth, edge) * (np.float32(-820) - under)
