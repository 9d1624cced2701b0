"""Compressed pixels, by pydicom's decoders (GDCM, CharLS, its own RLE)."""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.connectors.scans.problems import ScanError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from medfed.connectors.dicom.decoder import Decoders
    from medfed.connectors.dicom.planes import Layout

UNCOMPRESSED = {
    "1.2.840.10008.1.2",  # implicit, little endian
    "1.2.840.10008.1.2.1",  # explicit, little endian
    "1.2.840.10008.1.2.2",  # explicit, big endian
}
RLE = "1.2.840.10008.1.2.5"
EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""JPEG's markers of a frame header, and that of JPEG-LS."""

LONGEST_SEARCH = 64 * 1024


def is_compressed(syntax: str) -> bool:
    """Whether pixels of this transfer syntax need a decoder."""
    return syntax not in UNCOMPRESSED


def decoded_frames(
    value: bytes, layout: Layout, wanted: Sequence[int], decoders: Decoders
) -> Iterator[NDArray[Any]]:
    """Frames of encapsulated pixels.

    Args:
        value: the value of the pixels' element, from its offset table on.
        layout: how they are stored.
        wanted: numbers of the frames.
        decoders: processes to decode in.

    Raises:
        ScanError: no decoder knows the transfer syntax, or a frame is not what the header says.
    """
    from pydicom.encaps import generate_frames
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(layout.syntax)
    except NotImplementedError:
        raise ScanError("unsupported-compression") from None
    deep = layout.syntax == EXTENDED and layout.stored > 8  # no free decoder takes 12 bits
    if deep or not decoder.is_available:
        raise ScanError("unsupported-compression")
    frames = generate_frames(value, number_of_frames=layout.frames)
    streams = list(islice(frames, max(wanted) + 1))
    if len(streams) <= max(wanted):
        raise ScanError("cut-off")
    # RLE is read by pydicom itself: nothing in C to protect from.
    decode = decoded_here if layout.syntax == RLE else decoders.decode
    for number in wanted:
        _check_size(streams[number], layout)
        yield decode(streams[number], layout)


def decoded_here(stream: bytes, layout: Layout) -> NDArray[Any]:
    """One frame, decoded in this process.

    Args:
        stream: the compressed frame.
        layout: how it is stored.

    Raises:
        ScanError: what came out has another shape. Decoders raise whatever they like.
    """
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    decoder: Any = get_decoder(layout.syntax)
    values, _ = decoder.as_array(
        encapsulate([stream]),
        index=0,
        raw=True,
        rows=layout.rows,
        columns=layout.columns,
        number_of_frames=1,
        samples_per_pixel=1,
        bits_allocated=layout.allocated,
        bits_stored=layout.stored,
        pixel_representation=int(layout.signed),
        photometric_interpretation=layout.photometric,
        pixel_keyword="PixelData",
    )
    if values.shape != (layout.rows, layout.columns):
        raise ScanError("bad-pixels")
    return np.asarray(values)


def _check_size(stream: bytes, layout: Layout) -> None:
    """The picture is as large as the header says, before a decoder makes room for it."""
    declared = _declared(stream)
    if declared is not None and declared != (layout.rows, layout.columns):
        raise ScanError("bad-header", "the compressed pixels have another size than the header")


def _declared(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream declares; None for RLE.

    ITU-T T.81 B.2.2 (frame header), T.800 A.5.1 (SIZ).
    """
    if stream[:2] == b"\xff\x4f":
        at = stream.find(b"\xff\x51", 0, LONGEST_SEARCH)
        if at < 0 or len(stream) < at + 22:
            raise ScanError("bad-pixels")
        right, lower, left, upper = struct.unpack(">4I", stream[at + 6 : at + 22])
        return lower - upper, right - left
    if stream[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == 0xFF:  # fill
            at += 1
        elif marker in JPEG_FRAMES:
            rows, columns = struct.unpack(">2H", stream[at + 5 : at + 9])
            return rows, columns
        else:
            at += 2 + max(2, int.from_bytes(stream[at + 2 : at + 4], "big"))
    raise ScanError("bad-pixels")
