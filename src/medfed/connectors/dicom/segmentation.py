"""DICOM SEG as labels on the grid of a CT (PS3.3 A.51)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.connectors.dicom.codecs import decoded_frames, is_compressed
from medfed.connectors.dicom.decoder import DECODERS
from medfed.connectors.dicom.headers import DicomFile, guarded, quiet, read_header
from medfed.connectors.dicom.planes import MOST_FRAMES, Layout, frame_groups, numbers, upright
from medfed.connectors.scans.problems import ScanError
from medfed.connectors.scans.stores import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from medfed.imaging.geometry import Geometry

OFF_VOXEL = 0.05
OFF_MM = 0.06
"""Slices may lie this far beside the even grid that a CT is read on."""


@dataclass(frozen=True)
class Segment:
    """One kind of label in a DICOM SEG.

    Attributes:
        number: as frames refer to it.
        label: in words, as written.
        code: of its type, such as ``SCT 27925004`` for a nodule; empty where it lacks.
    """

    number: int
    label: str
    code: str


@dataclass(frozen=True)
class _Kind:
    """How labels are stored: bits a pixel, and what counts as inside."""

    bits: int
    least: int
    by_value: bool


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a frame lies on the grid of the CT, in voxels along ``(z, y, x)``.

    Attributes:
        start: its first pixel.
        across: one step along a row.
        down: one step along a column.
    """

    start: NDArray[np.intp]
    across: NDArray[np.intp]
    down: NDArray[np.intp]

    def voxels(self, layout: Layout) -> Iterator[NDArray[np.intp]]:
        """The indices z, y and x of all its pixels, each to be broadcast to its shape."""
        columns, rows = np.arange(layout.columns)[None, :], np.arange(layout.rows)[:, None]
        for first, right, below in zip(self.start, self.across, self.down, strict=True):
            place = np.array([[first]])
            place = place + right * columns if right else place
            yield place + below * rows if below else place


def segments(path: Path) -> tuple[Segment, ...]:
    """What a DICOM SEG labels.

    Raises:
        ScanError: it is damaged, or no DICOM SEG.
    """
    with open_store(path) as store, quiet():
        dataset: Any = _file(store).dataset
        with guarded("bad-header"):
            return tuple(_segment(item) for item in dataset.SegmentSequence)


def read_segmentation(
    path: Path, like: Geometry, chosen: Collection[int] | None = None
) -> NDArray[np.uint8]:
    """The segments of a DICOM SEG as one binary mask.

    Binary, fractional (from half on) and labelmap segmentations are read. Frames may lie in any
    direction along the axes of the grid; slices without a frame hold nothing.

    Args:
        path: the file, or a folder or zip with nothing else.
        like: the grid of the CT.
        chosen: numbers of the segments; None for all.

    Returns:
        uint8 0/1, shape ``like.shape``.

    Raises:
        ScanError: it is damaged, no DICOM SEG, or its frames do not lie on ``like``.
    """
    mask = np.zeros(like.shape, dtype=np.uint8)
    with open_store(path) as store, quiet():
        file = _file(store)
        with guarded("bad-header"):
            kind, layout = _kind(file.dataset), _layout(file)
            groups = list(frame_groups(file.dataset, layout.frames))
            places = [_place(own, layout, like) for own in groups]
            numbers_of = [_number(own) for own in groups]
        for frame, pixels in enumerate(_frames(store, file, layout, kind)):
            if kind.by_value:
                inside = pixels != 0 if chosen is None else np.isin(pixels, list(chosen))
            elif chosen is None or numbers_of[frame] in chosen:
                inside = pixels >= kind.least
            else:
                continue
            z, y, x = places[frame].voxels(layout)
            # Two segments may overlap: what one holds, the other must not take away.
            mask[z, y, x] |= inside
    return mask


def _file(store: Store) -> DicomFile:
    sizes = store.sizes()
    if len(sizes) != 1:
        raise ScanError("several-volumes", "a DICOM SEG is one file, and there are several")
    ((name, size),) = sizes.items()
    file = read_header(store, name, size)
    with guarded("bad-header"):
        modality = file.dataset.get("Modality")
        if modality != "SEG" or "SegmentSequence" not in file.dataset:
            raise ScanError("unsupported-form", "the mask is DICOM, and no DICOM SEG")
    return file


def _segment(item: Any) -> Segment:
    types = item.get("SegmentedPropertyTypeCodeSequence")
    code = f"{types[0].CodingSchemeDesignator} {types[0].CodeValue}" if types else ""
    return Segment(int(item.SegmentNumber), str(item.get("SegmentLabel", "")), code)


def _kind(dataset: Any) -> _Kind:
    bits = int(dataset.BitsAllocated)
    kind = str(dataset.SegmentationType)
    if kind == "BINARY" and bits == 1:
        return _Kind(1, 1, by_value=False)
    if kind == "FRACTIONAL" and bits == 8:
        most = int(dataset.get("MaximumFractionalValue") or 255)
        return _Kind(8, (most + 1) // 2, by_value=False)
    if kind == "LABELMAP" and bits in {8, 16}:
        return _Kind(bits, 1, by_value=True)
    raise ScanError("unsupported-form", f"a {kind} SEG of {bits} bits a pixel is not read")


def _layout(file: DicomFile) -> Layout:
    dataset: Any = file.dataset
    implicit, little = dataset.original_encoding
    bits = int(dataset.BitsAllocated)
    layout = Layout(
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        allocated=bits,
        stored=bits,
        signed=False,
        little=little,
        implicit=implicit,
        syntax=str(dataset.file_meta.TransferSyntaxUID),
        photometric="MONOCHROME2",
        frames=int(dataset.get("NumberOfFrames") or 1),
    )
    if min(layout.rows, layout.columns) < 1 or not 1 <= layout.frames <= MOST_FRAMES:
        raise ScanError("bad-header")
    return layout


def _number(groups: tuple[Any, ...]) -> int:
    found = numbers(groups, "ReferencedSegmentNumber", 1)
    return int(found[0]) if found else 0


def _place(groups: tuple[Any, ...], layout: Layout, like: Geometry) -> _Place:
    position = numbers(groups, "ImagePositionPatient", 3)
    cosines = numbers(groups, "ImageOrientationPatient", 6)
    spacing = numbers(groups, "PixelSpacing", 2)
    if position is None or cosines is None or spacing is None:
        raise ScanError("no-position", "frames of the DICOM SEG do not say where they lie")
    across, down = upright(cosines)
    first = np.asarray(position)
    right = first + np.asarray(across) * spacing[1] * (layout.columns - 1)
    below = first + np.asarray(down) * spacing[0] * (layout.rows - 1)
    corners = like.to_index(np.stack([first, right, below]))
    whole = np.rint(corners)
    allowed = np.maximum(OFF_VOXEL, OFF_MM / np.asarray(like.spacing_mm))
    outside = (whole < 0).any() or (whole >= np.asarray(like.shape)).any()
    if outside or (np.abs(corners - whole) > allowed).any():
        raise ScanError("off-grid")
    start, end_right, end_below = whole.astype(np.intp)
    for end, count in ((end_right, layout.columns), (end_below, layout.rows)):
        moved = np.abs(end - start)
        if np.count_nonzero(moved) > 1 or moved.max() != count - 1:
            raise ScanError("off-grid")
    return _Place(start, np.sign(end_right - start), np.sign(end_below - start))


def _frames(store: Store, file: DicomFile, layout: Layout, kind: _Kind) -> Iterator[NDArray[Any]]:
    if file.pixels_at is None:
        raise ScanError("no-pixels")
    begin = file.pixels_at + (8 if layout.implicit else 12)
    if is_compressed(layout.syntax):
        value = store.read(file.name, begin, file.size - begin)
        with guarded("bad-pixels"):
            yield from decoded_frames(value, layout, range(layout.frames), DECODERS)
        return
    pixels = layout.rows * layout.columns
    expected = (pixels * layout.frames * kind.bits + 7) // 8
    if file.size - begin < expected:
        raise ScanError("cut-off")
    # Bits of one frame follow those of the last without a gap (PS3.5 8.1.1), so all are read.
    value = store.read(file.name, begin, expected)
    if len(value) < expected:
        raise ScanError("cut-off")
    for frame in range(layout.frames):
        yield _values(value, frame * pixels, pixels, layout).reshape(layout.rows, layout.columns)


def _values(value: bytes, start: int, count: int, layout: Layout) -> NDArray[Any]:
    if layout.allocated == 1:
        packed = np.frombuffer(value, np.uint8)[start // 8 : (start + count + 7) // 8]
        bits = np.unpackbits(packed, bitorder="little")
        return bits[start % 8 : start % 8 + count]
    size = layout.allocated // 8
    dtype = np.dtype(f"{'<' if layout.little else '>'}u{size}")
    return np.frombuffer(value, dtype, count, start * size)
