"""Volumes as MetaImage: a plain header and its voxels, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from medfed.imaging.geometry import Geometry

TYPES = {"int16": "MET_SHORT", "uint8": "MET_UCHAR"}


def encode_volume(values: NDArray[Any], grid: Geometry, data_file: str) -> tuple[bytes, bytes]:
    """The content of an ``.mhd`` and of its ``.raw``.

    Args:
        values: int16 or uint8, shape ``grid.shape``, ``(z, y, x)``.
        grid: where the voxels lie.
        data_file: name of the ``.raw``, beside the header.

    Raises:
        ValueError: the values are of another type or shape.
    """
    if values.dtype.name not in TYPES or values.shape != grid.shape:
        raise ValueError(f"int16 or uint8 of {grid.shape}, not {values.dtype} of {values.shape}")
    # MetaIO lists the direction cosines of one index axis after another: our columns.
    cosines = [row[axis] for axis in range(3) for row in grid.direction]
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = False",
        f"TransformMatrix = {_words(cosines)}",
        f"Offset = {_words(grid.origin_mm)}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {_words(grid.spacing_mm[::-1])}",
        f"DimSize = {_words(grid.shape[::-1])}",
        f"ElementType = {TYPES[values.dtype.name]}",
        f"ElementDataFile = {data_file}",
    ]
    voxels = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return ("\n".join(lines) + "\n").encode(), voxels.tobytes()


def _words(values: Iterable[float]) -> str:
    return " ".join(f"{value:.17g}" for value in values)
