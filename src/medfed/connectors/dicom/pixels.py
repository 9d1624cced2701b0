"""Stored values to Hounsfield units."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.connectors.dicom.codecs import decoded_frames, is_compressed
from medfed.connectors.dicom.decoder import DECODERS
from medfed.connectors.dicom.headers import guarded, quiet
from medfed.connectors.scans.problems import ScanError, reading
from medfed.core.cores import cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from medfed.connectors.dicom.planes import Layout, Plane
    from medfed.connectors.scans.stores import Store

AIR_HU = -1024
UNDEFINED = 0xFFFFFFFF
LIMITS = np.iinfo(np.int16)


def read_pixels(store: Store, planes: Sequence[Plane]) -> NDArray[np.int16]:
    """The volume of planes that lie on one grid.

    Args:
        store: where their files lie.
        planes: in the order of the z axis.

    Returns:
        Hounsfield units, int16, shape ``(z, y, x)``. Padding that lies below air (-2000, -2048,
        -3024) stays as it is; padding that would be mistaken for tissue becomes air (-1024 HU).

    Raises:
        ScanError: pixels are cut off, too long, damaged, compressed in an unknown way, or no
            Hounsfield units.
    """
    layout = planes[0].layout
    hu = np.empty((len(planes), layout.rows, layout.columns), dtype=np.int16)
    numbered = sorted(enumerate(planes), key=lambda pair: (pair[1].file.name, pair[1].frame))
    jobs = [list(group) for _, group in groupby(numbered, key=lambda pair: pair[1].file.name)]

    def read(job: list[tuple[int, Plane]]) -> None:
        wanted = [plane for _, plane in job]
        with reading(wanted[0].file.name):
            for (k, plane), stored in zip(job, stored_values(store, wanted), strict=True):
                to_hounsfield(stored, plane, hu[k])

    with quiet(), ThreadPoolExecutor(min(4, cores(), len(jobs))) as pool:
        for _ in pool.map(read, jobs):
            pass
    return hu


def stored_values(store: Store, planes: Sequence[Plane]) -> Iterator[NDArray[Any]]:
    """The frames of one file, as they are stored, with the sign of their bits.

    Args:
        store: where the file lies.
        planes: frames of this file, in the order in which they are wanted.

    Raises:
        ScanError: see `read_pixels`.
    """
    layout, file = planes[0].layout, planes[0].file
    if file.pixels_at is None:
        raise ScanError("no-pixels")
    value_at, length = _element(store.read(file.name, file.pixels_at, 12), file.pixels_at, layout)
    frames = [plane.frame for plane in planes]
    if is_compressed(layout.syntax):
        value = store.read(file.name, value_at, file.size - value_at)
        with guarded("bad-pixels"):
            for values in decoded_frames(value, layout, frames, DECODERS):
                yield _with_sign(values, layout)
        return
    expected = layout.frame_bytes * layout.frames
    if length == UNDEFINED:
        raise ScanError("bad-header", "uncompressed pixels do not say how long they are")
    if length < expected or file.size - value_at < expected:
        raise ScanError("cut-off")
    if length > expected + 1:  # one byte makes an odd length even
        raise ScanError("too-long")
    for data in _native_frames(store, planes[0], value_at, frames):
        yield _with_sign(np.frombuffer(data, _dtype(layout)), layout).reshape(
            layout.rows, layout.columns
        )


def _native_frames(
    store: Store, first: Plane, value_at: int, frames: Sequence[int]
) -> Iterator[memoryview]:
    """The bytes of uncompressed frames."""
    name, size = first.file.name, first.layout.frame_bytes
    if store.seekable or len(frames) == 1:
        for frame in frames:
            data = store.read(name, value_at + frame * size, size)
            if len(data) < size:
                raise ScanError("cut-off")
            yield memoryview(data)
        return
    whole = memoryview(store.read(name, value_at, size * first.layout.frames))
    if len(whole) < size * first.layout.frames:
        raise ScanError("cut-off")
    for frame in frames:
        yield whole[frame * size : (frame + 1) * size]


def _dtype(layout: Layout) -> np.dtype[Any]:
    order, kind = "<" if layout.little else ">", "i" if layout.signed else "u"
    return np.dtype(f"{order}{kind}{layout.allocated // 8}")


def to_hounsfield(stored: NDArray[Any], plane: Plane, out: NDArray[np.int16]) -> None:
    """Rescale one slice: ``HU = slope × stored + intercept`` (PS3.3 C.11.1.1.2).

    MONOCHROME1 says how a picture is shown, not what its values mean: nothing is inverted.

    Args:
        stored: shape ``(rows, columns)``.
        plane: its slope, intercept and padding.
        out: where the Hounsfield units go.

    Raises:
        ScanError: they do not fit into 16 bits.
    """
    padding = _misleading(stored, plane)
    low, high = (int(stored.min()), int(stored.max())) if padding is None else (0, 0)
    whole = plane.slope == 1 and plane.intercept.is_integer()
    if whole and padding is None and stored.dtype.itemsize == 2:
        shift = int(plane.intercept)
        fits = low + shift >= LIMITS.min and high + shift <= LIMITS.max
        if fits and LIMITS.min <= shift <= LIMITS.max:
            # What fits at the end may wrap on the way: 16 bits count in a circle.
            np.add(stored.view(np.int16), np.int16(shift), out=out)
            return
    hu = np.rint(stored * np.float64(plane.slope) + plane.intercept)
    if padding is not None:
        hu[padding] = AIR_HU
    if hu.min() < LIMITS.min or hu.max() > LIMITS.max:
        raise ScanError("not-hounsfield")
    out[:] = hu


def _misleading(stored: NDArray[Any], plane: Plane) -> NDArray[np.bool_] | None:
    """Declared padding that would count as tissue; believed where the corner holds it.

    Some writers declare a value that they do not pad with, such as 0, which is also that of water.
    """
    if plane.padding is None:
        return None
    first, last = plane.padding
    if plane.layout.signed and first >= 2 ** (plane.layout.stored - 1):
        first, last = first - 2**plane.layout.stored, last - 2**plane.layout.stored
    if not first <= int(stored[0, 0]) <= last:
        return None
    if max(plane.slope * first, plane.slope * last) + plane.intercept <= AIR_HU:
        return None
    return (stored >= first) & (stored <= last)


def _element(header: bytes, at: int, layout: Layout) -> tuple[int, int]:
    """Where the value of the pixels begins, and its length."""
    if len(header) < 12:
        raise ScanError("cut-off")
    before = 4 if layout.implicit else 8
    (length,) = struct.unpack_from("<I" if layout.little else ">I", header, before)
    return at + before + 4, length


def _with_sign(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Native byte order, without the bits above those stored; the highest of these is the sign."""
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    spare = 8 * values.dtype.itemsize - layout.stored
    if spare <= 0:
        return values
    return (values << spare) >> spare
