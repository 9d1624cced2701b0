"""What the headers say of each slice: where it lies, and how its values become Hounsfield units.

A plane is one slice, whether it is a file of its own (CT Image, PS3.3 A.3) or one of the frames of
a file (Enhanced CT, PS3.3 A.38, with its functional groups): from here on both are alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medfed.connectors.dicom.headers import DicomFile, guarded
from medfed.connectors.scans.problems import ScanError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medfed.imaging.geometry import Triple

MOST_FRAMES = 100_000


@dataclass(frozen=True)
class Layout:
    """How the pixels of a file are stored.

    Attributes:
        rows: of a frame.
        columns: of a frame.
        allocated: bits a value takes.
        stored: bits of it that count.
        signed: two's complement.
        little: little endian.
        implicit: the data elements have no types.
        syntax: UID of the transfer syntax.
        photometric: ``MONOCHROME1`` or ``MONOCHROME2``.
        frames: how many.
    """

    rows: int
    columns: int
    allocated: int
    stored: int
    signed: bool
    little: bool
    implicit: bool
    syntax: str
    photometric: str
    frames: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of an uncompressed frame."""
        return self.rows * self.columns * self.allocated // 8


@dataclass(frozen=True, eq=False)
class Plane:
    """One slice.

    Attributes:
        file: its file.
        frame: its place in the file, from 0.
        layout: how it is stored.
        position: world ``(x, y, z)`` of the centre of its first pixel, mm, LPS.
        across: unit vector along a row, in the direction of growing columns.
        down: unit vector along a column, in the direction of growing rows.
        spacing: mm between rows, and between columns.
        slope: Hounsfield units = slope × stored value + intercept.
        intercept: see ``slope``.
        padding: stored values that fill the picture outside the scan, first and last; or None.
    """

    file: DicomFile
    frame: int
    layout: Layout
    position: Triple
    across: Triple
    down: Triple
    spacing: tuple[float, float]
    slope: float
    intercept: float
    padding: tuple[int, int] | None


def planes_of(file: DicomFile) -> tuple[Plane, ...]:
    """The planes of a file.

    Raises:
        ScanError: it has no pixels, or does not say how its slices lie or what their values mean.
    """
    with guarded("bad-header"):
        layout = layout_of(file)
        if file.pixels_at is None:
            raise ScanError("no-pixels")
        return tuple(
            _plane(file, layout, frame, groups)
            for frame, groups in enumerate(frame_groups(file.dataset, layout.frames))
        )


def numbers(groups: tuple[Any, ...], keyword: str, count: int) -> tuple[float, ...] | None:
    """The numbers of an element in the first group that has it; None where none has.

    Raises:
        ScanError: there are fewer or more, or no finite numbers.
    """
    for group in groups:
        value = group.get(keyword)
        if value is None or value == "":
            continue
        found = tuple(float(v) for v in (value if count > 1 else (value,)))
        if len(found) != count or not all(math.isfinite(v) for v in found):
            raise ScanError("bad-header", f"{keyword} does not hold {count} finite numbers")
        return found
    return None


def layout_of(file: DicomFile) -> Layout:
    """How the pixels of a file are stored.

    Raises:
        ScanError: they are coloured, or their description is missing or contradicts itself.
    """
    dataset: Any = file.dataset
    if int(dataset.get("SamplesPerPixel", 1) or 1) != 1:
        raise ScanError("colour")
    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2")).strip()
    if photometric not in {"MONOCHROME1", "MONOCHROME2"}:
        raise ScanError("colour")
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    allocated = dataset.get("BitsAllocated")
    if rows is None or columns is None or allocated is None:
        raise ScanError("no-pixels" if file.pixels_at is None else "bad-header")
    stored = dataset.get("BitsStored") or allocated
    frames = int(dataset.get("NumberOfFrames") or 1)
    if not (rows > 0 and columns > 0 and 0 < stored <= allocated and 0 < frames <= MOST_FRAMES):
        raise ScanError("bad-header")
    if allocated not in {8, 16, 32}:
        raise ScanError("unsupported-form", f"{allocated} bits a pixel are not read")
    if int(dataset.get("HighBit", stored - 1)) != stored - 1:
        raise ScanError("unsupported-form", "the bits of a pixel are not its lowest ones")
    implicit, little = dataset.original_encoding
    default = "1.2.840.10008.1.2" + ("" if implicit else ".1" if little else ".2")
    return Layout(
        rows=int(rows),
        columns=int(columns),
        allocated=int(allocated),
        stored=int(stored),
        signed=bool(dataset.get("PixelRepresentation", 0)),
        little=little,
        implicit=implicit,
        syntax=str(dataset.file_meta.get("TransferSyntaxUID") or default),
        photometric=photometric,
        frames=frames,
    )


def frame_groups(dataset: Any, frames: int) -> Iterator[tuple[Any, ...]]:
    """Where to look for the elements of each frame: the nearest first.

    Args:
        dataset: a header.
        frames: how many it should describe.

    Raises:
        ScanError: it describes none of several, or another number.
    """
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        if frames > 1:
            raise ScanError("no-position", "the frames do not say where in the patient they lie")
        yield (dataset,)
        return
    own = dataset.PerFrameFunctionalGroupsSequence
    if len(own) != frames:
        raise ScanError("bad-header", "the file describes another number of frames than it has")
    shared = dataset.get("SharedFunctionalGroupsSequence")
    common = _macros(shared[0]) if shared else ()
    for item in own:
        yield (*_macros(item), *common, dataset)


def _macros(group: Any) -> tuple[Any, ...]:
    """The functional groups of a frame that tell place, direction, spacing, values, segment."""
    found = []
    for keyword in (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
        "SegmentIdentificationSequence",
    ):
        sequence = group.get(keyword)
        if sequence:
            found.append(sequence[0])
    return tuple(found)


def _plane(file: DicomFile, layout: Layout, frame: int, groups: tuple[Any, ...]) -> Plane:
    position = numbers(groups, "ImagePositionPatient", 3)
    cosines = numbers(groups, "ImageOrientationPatient", 6)
    if position is None or cosines is None:
        raise ScanError("no-position")
    spacing = numbers(groups, "PixelSpacing", 2)
    if spacing is None:
        raise ScanError("no-spacing")
    if min(spacing) <= 0:
        raise ScanError("bad-spacing")
    slope, intercept = numbers(groups, "RescaleSlope", 1), numbers(groups, "RescaleIntercept", 1)
    if slope is None or intercept is None:
        raise ScanError("no-rescale")
    if slope[0] == 0:
        raise ScanError("bad-header", "the rescale slope is 0")
    across, down = upright(cosines)
    return Plane(
        file=file,
        frame=frame,
        layout=layout,
        position=(position[0], position[1], position[2]),
        across=across,
        down=down,
        spacing=(spacing[0], spacing[1]),
        slope=slope[0],
        intercept=intercept[0],
        padding=_padding(file.dataset),
    )


def _padding(dataset: Any) -> tuple[int, int] | None:
    value = dataset.get("PixelPaddingValue")
    if value is None or value == "":
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = sorted((int(value), int(value if limit in {None, ""} else limit)))
    return ends[0], ends[1]


def upright(cosines: tuple[float, ...]) -> tuple[Triple, Triple]:
    """The directions of rows and columns, as unit vectors at a right angle; headers round theirs.

    Args:
        cosines: the six of Image Orientation (Patient).

    Raises:
        ScanError: they are no such vectors, by more than rounding.
    """
    across, down = cosines[:3], cosines[3:]
    lengths = math.hypot(*across), math.hypot(*down)
    slant = sum(a * d for a, d in zip(across, down, strict=True))
    if max(abs(n - 1) for n in lengths) > 0.01 or abs(slant) > 1e-3:
        raise ScanError("bad-header", "the directions of rows and columns are no right angle")
    first = tuple(a / lengths[0] for a in across)
    along = sum(a * d for a, d in zip(first, down, strict=True))
    rest = tuple(d - along * a for a, d in zip(first, down, strict=True))
    length = math.hypot(*rest)
    second = tuple(d / length for d in rest)
    return (first[0], first[1], first[2]), (second[0], second[1], second[2])
