"""NIfTI-1 and -2 volumes (``.nii``, ``.nii.gz``), by nibabel's headers.

The header is checked against the file before room is made for the voxels, and what is packed is
unpacked no further than the header declares. NIfTI's world is RAS, ours LPS: x and y change signs.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.connectors.scans.problems import ScanError
from medfed.connectors.scans.values import as_hounsfield, as_mask
from medfed.core.no_pickles import unpickling_refused
from medfed.imaging.geometry import Geometry, Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

LARGEST_VOXELS = 2**30
LARGEST_BYTES = 2**32
LONGEST_HEADER = 1024**2
"""The header with its extensions; most files need 352 bytes."""

EXACT_MM = 0.01
SHEAR = 5e-5
PACKED = b"\x1f\x8b"
CHUNK = 1024**2


@unpickling_refused()
def read_nifti(path: Path) -> tuple[Volume, tuple[str, ...]]:
    """A CT from NIfTI, as int16 Hounsfield units.

    Args:
        path: ``.nii`` or ``.nii.gz``.

    Returns:
        The volume, and notes in sentences.

    Raises:
        ScanError: it is damaged, cut off, no CT, or does not say where in the patient it lies.
    """
    header, (geometry, notes) = _header(path)
    hu = as_hounsfield(_voxels(path, header, geometry), path.name)
    return Volume(hu, geometry.spacing_mm, geometry.origin_mm, geometry.direction), notes


@unpickling_refused()
def read_nifti_mask(path: Path, like: Geometry | None = None) -> NDArray[np.uint8]:
    """A binary mask from NIfTI; every non-zero value counts as inside.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        like: the grid of its CT; checked to 0.01 mm where given.

    Raises:
        ScanError: as `read_nifti`, and where it does not lie on ``like``.
    """
    header, (geometry, _) = _header(path)
    return as_mask(_voxels(path, header, geometry), geometry, like, path)


@unpickling_refused()
def nifti_geometry(path: Path) -> Geometry:
    """The grid that a header declares, without the voxels.

    Raises:
        ScanError: the header is damaged or lacks an orientation.
    """
    _, (geometry, _) = _header(path)
    return geometry


def _header(path: Path) -> tuple[Any, tuple[Geometry, tuple[str, ...]]]:
    import nibabel
    from nibabel.spatialimages import HeaderDataError

    with _opened(path) as file:
        start = _unpacking(path, lambda: file.read(540))
    if not start:
        raise ScanError("empty-file", f"{path.name} is empty")
    size = int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")
    kinds: dict[int, Any] = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
    kind = next((kinds[s] for s in size if s in kinds), None)
    if kind is None or len(start) < kind.sizeof_hdr:
        raise ScanError("bad-header", f"{path.name} is no NIfTI")
    try:
        # check=False: nibabel would mend some fields, with a warning, and we look ourselves.
        header = kind(start[: kind.sizeof_hdr], check=False)
        return header, _geometry(path, header)
    except (HeaderDataError, ValueError, KeyError, OverflowError, ArithmeticError) as error:
        raise ScanError("bad-header", f"{path.name} has a damaged NIfTI header") from error


def _geometry(path: Path, header: Any) -> tuple[Geometry, tuple[str, ...]]:
    dims = [int(n) for n in header["dim"]]
    if not 3 <= dims[0] <= 7 or any(n != 1 for n in dims[4 : dims[0] + 1]):
        raise ScanError(
            "unsupported-form", f"{path.name} has {dims[0]} dimensions; a CT volume has three"
        )
    x, y, z = dims[1:4]
    if min(x, y, z) < 1:
        raise ScanError("bad-header", f"{path.name} declares an impossible size")
    if x * y * z > LARGEST_VOXELS:
        raise ScanError("too-large")
    affine, notes = _affine(path, header, (x, y, z))
    columns = affine[:3, :3] * np.array([[-1.0], [-1.0], [1.0]])
    origin = affine[:3, 3] * (-1.0, -1.0, 1.0)
    spacing = np.linalg.norm(columns, axis=0)
    rows = (columns / spacing).tolist()
    geometry = Geometry(
        (z, y, x),
        (float(spacing[2]), float(spacing[1]), float(spacing[0])),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        (tuple(rows[0]), tuple(rows[1]), tuple(rows[2])),
    )
    return geometry, notes


def _affine(
    path: Path, header: Any, size: tuple[int, int, int]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Index to RAS, mm: the sform where it is set, else the qform."""
    units = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}.get(int(header["xyzt_units"]) & 7)
    if units is None:
        raise ScanError("bad-header", f"{path.name} has an unknown unit of length")
    steps = [float(s) for s in header["pixdim"][1:4]]
    found = {}
    if int(header["sform_code"]) > 0:
        found["sform"] = np.asarray(header.get_sform(), dtype=np.float64)
    if int(header["qform_code"]) > 0:
        if min(steps) <= 0:
            raise ScanError("bad-spacing", f"{path.name} has a spacing that is not positive")
        found["qform"] = np.asarray(header.get_qform(), dtype=np.float64)
    if not found:
        raise ScanError("no-orientation")
    for affine in found.values():
        affine[:3] *= units
    usable = {name: affine for name, affine in found.items() if _upright(affine)}
    if not usable:
        raise ScanError("sheared" if _finite(found) else "bad-header")
    if len(usable) < len(found):
        (name,) = usable
        other = "qform" if name == "sform" else "sform"
        return usable[name], (f"The {name} was used: the axes of the {other} are not upright.",)
    if len(found) == 2 and _apart(found["sform"], found["qform"], size) > EXACT_MM:
        return found["sform"], ("The sform was used: the qform says another place.",)
    return next(iter(usable.values())), ()


def _finite(found: dict[str, NDArray[np.float64]]) -> bool:
    return any(np.isfinite(affine).all() for affine in found.values())


def _upright(affine: NDArray[np.float64]) -> bool:
    if not np.isfinite(affine).all():
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if lengths.min() <= 0 or not np.isfinite(lengths).all():
        return False
    axes = affine[:3, :3] / lengths
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() <= SHEAR)


def _apart(
    one: NDArray[np.float64], other: NDArray[np.float64], size: tuple[int, int, int]
) -> float:
    """The largest distance between where two affines put the corners, mm."""
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    corners = corners * np.array([*(n - 1 for n in size), 1])
    return float(np.linalg.norm(((one - other) @ corners.T)[:3], axis=0).max())


def _voxels(path: Path, header: Any, geometry: Geometry) -> NDArray[Any]:
    """The values, rescaled, shape ``(z, y, x)``."""
    try:
        dtype = header.get_data_dtype()
    except (KeyError, ValueError) as error:
        raise ScanError("bad-header", f"{path.name} has an unknown type of voxels") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ScanError("unsupported-form", f"{path.name} holds no plain numbers")
    if math.prod(geometry.shape) * dtype.itemsize > LARGEST_BYTES:
        raise ScanError("too-large")
    offset = float(header["vox_offset"])
    if not float(header.sizeof_hdr) <= offset <= LONGEST_HEADER:
        raise ScanError("bad-header", f"{path.name} says an impossible place of its voxels")
    values = np.empty(math.prod(geometry.shape), dtype=dtype)
    with _opened(path) as file:
        _unpacking(path, lambda: _fill(path, file, int(offset), values))
    slope, intercept = header["scl_slope"], header["scl_inter"]
    shaped = values.reshape(geometry.shape)
    if not np.isfinite(slope) or slope == 0 or (slope == 1 and intercept == 0):
        return shaped
    return shaped * np.float64(slope) + np.float64(intercept if np.isfinite(intercept) else 0)


def _fill(path: Path, file: Any, offset: int, values: NDArray[Any]) -> None:
    """Exactly the voxels: a file that holds less or more is not what its header says."""
    file.seek(offset)
    room = values.view(np.uint8).data
    filled = 0
    while filled < len(room):
        count = file.readinto(room[filled : filled + CHUNK])
        if not count:
            raise ScanError("cut-off", f"{path.name} is cut off")
        filled += count
    if file.read(1):
        raise ScanError("too-long", f"{path.name} is longer than its header says")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, unpacked where it is gzip; never more of it in memory than is read."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ScanError(
            "missing-file", f"there is no file {path.name} in {path.parent.name}"
        ) from None
    except OSError as error:
        raise ScanError("unreadable-file", f"{path.name} cannot be opened") from error
    with file:
        if file.peek(2)[:2] != PACKED:
            yield file
            return
        with io.BufferedReader(gzip.GzipFile(fileobj=file), CHUNK) as unpacked:
            yield unpacked


def _unpacking(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise ScanError("cut-off", f"{path.name} is cut off or damaged") from error
    except OSError as error:
        raise ScanError("unreadable-file", f"{path.name} cannot be read") from error
