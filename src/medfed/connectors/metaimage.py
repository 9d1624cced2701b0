"""MetaImage volumes (``.mhd`` with its ``.raw``): the format of LUNA16.

The header is read and checked here before SimpleITK opens anything: a header decides which file is
read and how many bytes are believed, and a header comes from somebody else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.core.errors import DataError
from medfed.imaging.geometry import Geometry, Matrix, Triple, Volume

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LONGEST_HEADER = 64 * 1024
BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}


def read_volume(path: Path) -> Volume:
    """A CT from ``.mhd/.raw``, as int16 Hounsfield units.

    Args:
        path: the ``.mhd`` header; its ``.raw`` lies in the same folder.

    Raises:
        DataError: the header or its data are missing, cut off, outside the folder or nonsense.
    """
    values, grid = _read(path)
    if values.dtype != np.int16:
        limits = np.iinfo(np.int16)
        if not np.isfinite(values).all():
            raise DataError(f"{path.name} holds values that are not finite numbers")
        if values.min() < limits.min or values.max() > limits.max:
            raise DataError(
                f"{path.name} holds values from {values.min()} to {values.max()}",
                remedy="Hounsfield units fit into 16 bits: check that this is a CT.",
            )
        values = np.rint(values)
    return Volume(
        values.astype(np.int16, copy=False), grid.spacing_mm, grid.origin_mm, grid.direction
    )


def read_mask(path: Path, like: Geometry | None = None) -> NDArray[np.uint8]:
    """A binary mask from ``.mhd/.raw``.

    Args:
        path: the ``.mhd`` header.
        like: the grid of the CT that the mask belongs to; checked to 0.01 mm where given.

    Returns:
        uint8 0/1, shape ``(z, y, x)``; every non-zero value counts as inside.

    Raises:
        DataError: as `read_volume`, and where the mask does not lie on the grid ``like``.
    """
    values, grid = _read(path)
    if like is not None and not grid.matches(like):
        raise DataError(
            f"{path.parent.name}/{path.name} does not lie on the grid of its CT: "
            f"{_describe(grid)} against {_describe(like)}",
            remedy="Resample the mask to the CT, or pair it with the CT it was drawn on.",
        )
    return (values != 0).astype(np.uint8)


def read_geometry(path: Path) -> Geometry:
    """The grid that a header declares, without reading the voxels.

    Raises:
        DataError: the header is missing or nonsense.
    """
    return _geometry(path, _header(path))


def _read(path: Path) -> tuple[NDArray[Any], Geometry]:
    import SimpleITK as sitk

    header = _header(path)
    grid = _geometry(path, header)
    _check_data(path, header, grid)
    try:
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="MetaImageIO"))
    except RuntimeError as error:
        raise DataError(f"{path.name} cannot be read as a MetaImage") from error
    if values.shape != grid.shape:
        raise DataError(f"{path.name} declares {grid.shape} voxels and holds {values.shape}")
    return values, grid


def _header(path: Path) -> dict[str, str]:
    """The ``key = value`` lines of a header."""
    try:
        with path.open("rb") as file:
            raw = file.read(LONGEST_HEADER + 1)
    except FileNotFoundError:
        raise DataError(f"there is no file {path.name} in {path.parent.name}") from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be opened: {error.strerror}") from error
    if len(raw) > LONGEST_HEADER:
        raise DataError(f"{path.name} is too long to be a MetaImage header")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path.name} is not a MetaImage header (it is not text)") from None
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            fields[key.strip()] = value.strip()
    for key in ("NDims", "DimSize", "ElementType", "ElementDataFile"):
        if key not in fields:
            raise DataError(f"{path.name} is not a MetaImage header: it lacks {key}")
    return fields


def _geometry(path: Path, fields: dict[str, str]) -> Geometry:
    if fields["NDims"] != "3":
        raise DataError(
            f"{path.name} has {fields['NDims']} dimensions; a CT volume has three",
            remedy="Give the whole series as one volume.",
        )
    size = _numbers(path, fields, "DimSize", 3)
    if any(n < 1 or n != int(n) for n in size):
        raise DataError(f"{path.name} declares an impossible size: {fields['DimSize']}")
    if "ElementSpacing" not in fields and "ElementSize" not in fields:
        raise DataError(f"{path.name} does not say its voxel spacing (ElementSpacing)")
    key = "ElementSpacing" if "ElementSpacing" in fields else "ElementSize"
    spacing = _numbers(path, fields, key, 3)
    origin = (0.0, 0.0, 0.0)
    for key in ("Offset", "Origin", "Position"):
        if key in fields:
            origin = _triple(_numbers(path, fields, key, 3))
            break
    # MetaIO writes the direction cosines of one index axis after another: our columns.
    axes = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    for key in ("TransformMatrix", "Rotation", "Orientation"):
        if key in fields:
            axes = _numbers(path, fields, key, 9)
            break
    rows: Matrix = (_triple(axes[0::3]), _triple(axes[1::3]), _triple(axes[2::3]))
    shape = (int(size[2]), int(size[1]), int(size[0]))
    try:
        return Geometry(shape, _triple(spacing[::-1]), origin, rows)
    except ValueError as error:
        raise DataError(f"{path.name} has no usable geometry: {error}") from error


def _check_data(path: Path, fields: dict[str, str], grid: Geometry) -> None:
    """The voxels are one plain file in the header's own folder, as long as the header says."""
    name = fields["ElementDataFile"]
    if name in {"LOCAL", "LIST"} or "%" in name:
        raise DataError(
            f"{path.name} keeps its voxels as {name!r}", remedy="Save it as .mhd with one .raw."
        )
    if fields.get("CompressedData", "False").lower() == "true":
        raise DataError(f"{path.name} is compressed", remedy="Save it with CompressedData = False.")
    if fields.get("ElementNumberOfChannels", "1") != "1":
        raise DataError(f"{path.name} has several channels; a CT has one")
    if fields["ElementType"] not in BYTES:
        raise DataError(f"{path.name} has the unknown element type {fields['ElementType']}")
    folder = path.parent.resolve()
    data = folder / name
    if not name or "\\" in name or data.resolve().parent != folder:
        raise DataError(
            f"{path.name} points to voxels outside its folder",
            remedy="ElementDataFile must name a file beside the header; such a file is not opened.",
        )
    if not data.is_file():
        raise DataError(
            f"the voxels of {path.name} are missing: there is no {name} in {path.parent.name}",
            remedy="Copy the .raw together with its .mhd.",
        )
    skip = fields.get("HeaderSize", "0")
    if skip not in {"0", "-1"}:
        raise DataError(f"{path.name} asks to skip {skip} bytes of its voxels")
    expected = math.prod(grid.shape) * BYTES[fields["ElementType"]]
    actual = data.stat().st_size
    if actual != expected:
        what = "cut off" if actual < expected else "longer than its header says"
        raise DataError(
            f"{path.parent.name}/{name} is {what}: {actual:,} bytes where {expected:,} belong",
            remedy="Copy or export the series again.",
        )


def _numbers(path: Path, fields: dict[str, str], key: str, count: int) -> list[float]:
    try:
        values = [float(word) for word in fields[key].split()]
    except ValueError:
        values = []
    if len(values) != count or not all(math.isfinite(v) for v in values):
        raise DataError(f"{path.name}: {key} should hold {count} numbers, not {fields[key]!r}")
    return values


def _triple(values: list[float]) -> Triple:
    a, b, c = values
    return a, b, c


def _describe(grid: Geometry) -> str:
    size = "×".join(str(n) for n in grid.shape[::-1])
    steps = "×".join(f"{s:g}" for s in grid.spacing_mm[::-1])
    start = ", ".join(f"{o:g}" for o in grid.origin_mm)
    return f"{size} voxels of {steps} mm from ({start})"
