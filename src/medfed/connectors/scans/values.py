"""What a CT and a mask hold, whatever file they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.connectors.scans.problems import ScanError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from medfed.imaging.geometry import Geometry

LIMITS = np.iinfo(np.int16)


def as_hounsfield(values: NDArray[Any], name: str) -> NDArray[np.int16]:
    """Voxels of any number type as int16.

    Args:
        values: of any shape.
        name: of their file, for the message.

    Raises:
        ScanError: they are not finite, or do not fit.
    """
    if values.dtype == np.int16:
        return values
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ScanError("not-hounsfield", f"{name} holds values that are not finite numbers")
    low, high = values.min(), values.max()
    if low < LIMITS.min or high > LIMITS.max:
        raise ScanError("not-hounsfield", f"{name} holds values from {low} to {high}")
    if values.dtype.kind == "f":
        values = np.rint(values)
    return values.astype(np.int16)


def as_mask(
    values: NDArray[Any], grid: Geometry, like: Geometry | None, path: Path
) -> NDArray[np.uint8]:
    """Voxels as 0 and 1, on the grid of a CT.

    Args:
        values: non-zero is inside.
        grid: theirs.
        like: that of the CT; checked to 0.01 mm where given.
        path: of the file, for the message.

    Raises:
        ScanError: the grids differ.
    """
    if like is not None and not grid.matches(like):
        raise ScanError(
            "off-grid",
            f"{path.parent.name}/{path.name} does not lie on the grid of its CT: "
            f"{describe(grid)} against {describe(like)}",
        )
    return (values != 0).astype(np.uint8)


def describe(grid: Geometry) -> str:
    """A grid in a few words."""
    size = "×".join(str(n) for n in grid.shape[::-1])
    steps = "×".join(f"{s:g}" for s in grid.spacing_mm[::-1])
    start = ", ".join(f"{o:g}" for o in grid.origin_mm)
    return f"{size} voxels of {steps} mm from ({start})"
