"""The header of a DICOM file, read once, and where its pixels begin."""

from __future__ import annotations

import io
import struct
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medfed.connectors.scans.problems import ScanError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset

    from medfed.connectors.scans.stores import Store

FIRST_BYTES = 64 * 1024
"""Holds the header of nearly every CT slice."""

LARGEST_HEADER = 64 * 1024**2
"""Enhanced files describe thousands of frames in some MB; nothing honest needs more."""

DEFLATED = b"1.2.840.10008.1.2.1.99"
PIXELS = 0x7FE00010


@dataclass(frozen=True, eq=False)
class DicomFile:
    """One file of a series.

    Attributes:
        name: inside its folder or zip.
        size: bytes.
        dataset: the header, without pixels.
        pixels_at: where the element of the pixels begins; None where there is none.
    """

    name: str
    size: int
    dataset: Dataset
    pixels_at: int | None


def read_header(store: Store, name: str, size: int) -> DicomFile:
    """The header of a file.

    Args:
        store: where it lies.
        name: its name there.
        size: its bytes.

    Raises:
        ScanError: it is empty, no DICOM, damaged, or packed as a whole (deflated).
    """
    if size == 0:
        raise ScanError("empty-file")
    count = FIRST_BYTES
    while True:
        data = store.read(name, 0, count)
        if not looks_like_dicom(data):
            raise ScanError("not-dicom")
        if DEFLATED in data:
            # pydicom would unpack it without a limit.
            raise ScanError("unsupported-compression")
        whole = len(data) < count or len(data) >= size
        found = _parsed(data, whole)
        if found is not None:
            dataset, pixels_at = found
            return DicomFile(name, size, dataset, pixels_at)
        if count >= LARGEST_HEADER:
            raise ScanError("bad-header", "a DICOM header has no end")
        count = min(16 * count, LARGEST_HEADER)


@contextmanager
def quiet() -> Iterator[None]:
    """Without pydicom's warnings, which quote patient data; what matters becomes a problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def guarded(name: str) -> Iterator[None]:
    """Whatever a damaged file provokes in pydicom becomes a problem called ``name``."""
    try:
        yield
    except (ScanError, MemoryError, ImportError):
        raise
    except Exception as error:
        # pydicom promises no closed set of errors, and these bytes come from anywhere.
        raise ScanError(name) from error


def _parsed(data: bytes, whole: bool) -> tuple[Dataset, int | None] | None:
    """The header in ``data``; None where more bytes are needed."""
    import pydicom

    buffer = io.BytesIO(data)
    try:
        with guarded("bad-header"):
            dataset: Any = pydicom.dcmread(buffer, stop_before_pixels=True, force=True)
            end = buffer.tell()
    except ScanError:
        if whole:
            raise
        return None
    if end >= len(data) and not whole:
        return None
    dataset.buffer = None  # it would keep ``data`` in memory
    if end >= len(data):
        return dataset, None
    order = "<HH" if dataset.original_encoding[1] else ">HH"
    group, element = struct.unpack_from(order, data, end)
    return dataset, end if group << 16 | element == PIXELS else None


def looks_like_dicom(data: bytes) -> bool:
    """Whether a file begins as DICOM: with the preamble, or without it with group 2 or 8.

    Args:
        data: its first bytes, 132 or more where it has them.
    """
    if data[128:132] == b"DICM":
        return True
    return len(data) > 16 and data[:2] in {b"\x08\x00", b"\x02\x00"} and data[3] == 0
