"""MetaImage volumes: ``.mhd`` with its ``.raw`` or ``.zraw`` (the form of LUNA16), and ``.mha``.

A header decides which file is read and how many bytes are believed, and a header comes from
somebody else: it is read and checked here, and so are the voxels, which are plain numbers.
"""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.connectors.scans.problems import ScanError
from medfed.connectors.scans.values import as_hounsfield, as_mask
from medfed.core.no_pickles import unpickling_refused
from medfed.imaging.geometry import Geometry, Matrix, Triple, Volume

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LONGEST_HEADER = 64 * 1024
LARGEST_VOXELS = 2**30
LARGEST_BYTES = 2**32
CHUNK = 1024**2
LOCAL = "LOCAL"
TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
NEEDED = ("NDims", "DimSize", "ElementType", "ElementDataFile")


@dataclass(frozen=True)
class Header:
    """The fields of a header, and where it ends.

    Attributes:
        fields: ``key = value``.
        length: bytes, up to the line of ElementDataFile and with it.
    """

    fields: dict[str, str]
    length: int


@unpickling_refused()
def read_volume(path: Path) -> Volume:
    """A CT as int16 Hounsfield units.

    Args:
        path: the ``.mhd`` header, its voxels in the same folder; or the ``.mha``.

    Raises:
        ScanError: the header or its data are missing, cut off, outside the folder or nonsense.
    """
    values, grid = _read(path)
    hu = as_hounsfield(values, path.name)
    return Volume(hu, grid.spacing_mm, grid.origin_mm, grid.direction)


@unpickling_refused()
def read_mask(path: Path, like: Geometry | None = None) -> NDArray[np.uint8]:
    """A binary mask.

    Args:
        path: the ``.mhd`` header, or the ``.mha``.
        like: the grid of the CT that the mask belongs to; checked to 0.01 mm where given.

    Returns:
        uint8 0/1, shape ``(z, y, x)``; every non-zero value counts as inside.

    Raises:
        ScanError: as `read_volume`, and where the mask does not lie on the grid ``like``.
    """
    values, grid = _read(path)
    return as_mask(values, grid, like, path)


@unpickling_refused()
def read_geometry(path: Path) -> Geometry:
    """The grid that a header declares, without reading the voxels.

    Raises:
        ScanError: the header is missing or nonsense.
    """
    return _geometry(path, _header(path).fields)


def voxels_beside(header: bytes) -> tuple[str, ...]:
    """The file that a header names for its voxels, as it names it; none where it names none."""
    found = re.search(rb"^\s*ElementDataFile\s*=([^\r\n]*)", header[:LONGEST_HEADER], re.MULTILINE)
    return (found[1].decode("utf-8", "replace").strip(),) if found else ()


def _read(path: Path) -> tuple[NDArray[Any], Geometry]:
    header = _header(path)
    grid = _geometry(path, header.fields)
    dtype = _type(path, header.fields)
    expected = math.prod(grid.shape) * dtype.itemsize
    if expected > LARGEST_BYTES:
        raise ScanError("too-large")
    data = _data_file(path, header.fields)
    begin = header.length if data == path else 0
    try:
        if _is_true(path, header.fields, "CompressedData"):
            values = _unpacked(data, begin, expected, dtype)
        else:
            values = _plain(path, data, begin + _skip(path, header.fields), expected, dtype)
    except OSError as error:
        raise ScanError("unreadable-file", f"{data.name} cannot be read") from error
    return values.reshape(grid.shape), grid


def _header(path: Path) -> Header:
    """The ``key = value`` lines of a header, up to ElementDataFile, which comes last."""
    try:
        with path.open("rb") as file:
            raw = file.read(LONGEST_HEADER)
    except FileNotFoundError:
        raise ScanError(
            "missing-file", f"there is no file {path.name} in {path.parent.name}"
        ) from None
    except OSError as error:
        raise ScanError(
            "unreadable-file", f"{path.name} cannot be opened: {error.strerror}"
        ) from error
    if not raw:
        raise ScanError("empty-file", f"{path.name} is empty")
    fields: dict[str, str] = {}
    length = 0
    for line in raw.splitlines(keepends=True):
        length += len(line)
        try:
            key, equals, value = line.decode("utf-8").partition("=")
        except UnicodeDecodeError:
            raise _bad(f"{path.name} is no MetaImage header: it is not text") from None
        if equals:
            fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    lacking = [key for key in NEEDED if key not in fields]
    if lacking and len(raw) == LONGEST_HEADER:
        raise _bad(f"{path.name} is no MetaImage header: it is too long")
    if lacking:
        raise _bad(f"{path.name} is no MetaImage header: it lacks {lacking[0]}")
    return Header(fields, length)


def _geometry(path: Path, fields: dict[str, str]) -> Geometry:
    if fields["NDims"] != "3":
        raise ScanError(
            "unsupported-form",
            f"{path.name} has {fields['NDims']} dimensions; a CT volume has three",
            remedy="Give the whole series as one volume.",
        )
    shape = _shape(path, fields)
    if "ElementSpacing" not in fields and "ElementSize" not in fields:
        raise ScanError(
            "no-spacing", f"{path.name} does not say its voxel spacing (ElementSpacing)"
        )
    key = "ElementSpacing" if "ElementSpacing" in fields else "ElementSize"
    spacing = _numbers(path, fields, key, 3)
    if min(spacing) <= 0:
        raise ScanError("bad-spacing", f"{path.name} has a voxel spacing that is not positive")
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
    try:
        return Geometry(shape, _triple(spacing[::-1]), origin, rows)
    except ValueError as error:
        raise ScanError("sheared", f"{path.name} has no usable geometry: {error}") from error


def _shape(path: Path, fields: dict[str, str]) -> tuple[int, int, int]:
    size = _numbers(path, fields, "DimSize", 3)
    if any(n < 1 or n != int(n) for n in size):
        raise _bad(f"{path.name} declares an impossible size: {fields['DimSize']}")
    if math.prod(size) > LARGEST_VOXELS:
        raise ScanError("too-large")
    return int(size[2]), int(size[1]), int(size[0])


def _type(path: Path, fields: dict[str, str]) -> np.dtype[Any]:
    """How a voxel is written; only plain numbers, one a voxel, are read."""
    if fields.get("ElementNumberOfChannels", "1") != "1":
        raise ScanError("unsupported-form", f"{path.name} has several channels; a CT has one")
    if not _is_true(path, fields, "BinaryData", default=True):
        raise ScanError("unsupported-form", f"{path.name} writes its voxels as text")
    if fields["ElementType"] not in TYPES:
        raise ScanError(
            "unsupported-form", f"{path.name} has the unknown element type {fields['ElementType']}"
        )
    big = any(
        _is_true(path, fields, key) for key in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    )
    return np.dtype((">" if big else "<") + TYPES[fields["ElementType"]])


def _data_file(path: Path, fields: dict[str, str]) -> Path:
    """The voxels are one file in the header's own folder, or the header's own."""
    name = fields["ElementDataFile"]
    if name.upper() == LOCAL:
        return path
    if name.split(" ")[0] == "LIST" or "%" in name:
        raise ScanError(
            "unsupported-form",
            f"{path.name} keeps its voxels as {name!r}",
            remedy="Save it as .mhd with one .raw.",
        )
    folder = path.parent.resolve()
    data = folder / name
    if not name or "\\" in name or "\0" in name or data.resolve().parent != folder:
        raise ScanError(
            "outside-folder",
            f"{path.name} points to voxels outside its folder",
            remedy="ElementDataFile must name a file beside the header; such a file is not opened.",
        )
    if not data.is_file():
        raise ScanError(
            "missing-file",
            f"the voxels of {path.name} are missing: there is no {name} in {path.parent.name}",
            remedy="Copy the voxels together with their .mhd.",
        )
    return data


def _skip(path: Path, fields: dict[str, str]) -> int:
    # -1 says that the voxels are the file's last bytes; with nothing before them, that is 0.
    if fields.get("HeaderSize", "0") not in {"0", "-1"}:
        raise ScanError(
            "unsupported-form",
            f"{path.name} asks to skip {fields['HeaderSize']} bytes of its voxels",
        )
    return 0


def _plain(path: Path, data: Path, begin: int, expected: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    actual = data.stat().st_size - begin
    name = f"{path.parent.name}/{data.name}"
    if actual < expected:
        message = f"{name} is cut off: {actual:,} bytes where {expected:,} belong"
        raise ScanError("cut-off", message)
    if actual > expected:
        message = f"{name} is longer than its header says: {actual:,} bytes for {expected:,}"
        raise ScanError("too-long", message)
    return np.fromfile(data, dtype=dtype, offset=begin)


def _unpacked(data: Path, begin: int, expected: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The voxels of a zlib stream, which is unpacked no further than the header declares."""
    values = np.empty(expected // dtype.itemsize, dtype=dtype)
    room = values.view(np.uint8).data
    unpacker = zlib.decompressobj()
    filled = 0
    try:
        with data.open("rb") as file:
            file.seek(begin)
            while not unpacker.eof and (packed := file.read(CHUNK)):
                while packed and not unpacker.eof:
                    # One byte more than belongs there shows that there is more.
                    piece = unpacker.decompress(packed, min(CHUNK, expected - filled + 1))
                    packed = unpacker.unconsumed_tail
                    if filled + len(piece) > expected:
                        raise ScanError(
                            "too-long", f"{data.name} unpacks to more than its header says"
                        )
                    room[filled : filled + len(piece)] = piece
                    filled += len(piece)
    except zlib.error as error:
        raise ScanError("cut-off", f"{data.name} cannot be unpacked: it is damaged") from error
    if filled < expected:
        raise ScanError("cut-off", f"{data.name} is cut off")
    return values


def _is_true(path: Path, fields: dict[str, str], key: str, *, default: bool = False) -> bool:
    value = fields.get(key, str(default)).lower()
    if value not in {"true", "false", "1", "0"}:
        raise _bad(f"{path.name}: {key} should be True or False, not {value!r}")
    return value in {"true", "1"}


def _numbers(path: Path, fields: dict[str, str], key: str, count: int) -> list[float]:
    try:
        values = [float(word) for word in fields[key].split()]
    except ValueError:
        values = []
    if len(values) != count or not all(math.isfinite(v) for v in values):
        raise _bad(f"{path.name}: {key} should hold {count} numbers, not {fields[key]!r}")
    return values


def _triple(values: list[float]) -> Triple:
    a, b, c = values
    return a, b, c


def _bad(message: str) -> ScanError:
    return ScanError("bad-header", message)
