"""Pictures of findings: slices in the three directions, with contours, sides and a scale.

As radiologists look at them: the patient's right at the left of axial and coronal pictures, the
head up in coronal and sagittal ones, the front at the left of sagittal ones.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import ndimage

from medfed.imaging.fonts import sized
from medfed.imaging.pictures import LUNG_WINDOW, PREDICTION_RGB, encode_png

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.imaging.geometry import Triple, Volume
    from medfed.inference.findings import Finding

Plane = Literal["axial", "coronal", "sagittal"]

PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
MARKS = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "H", "F"),
         "sagittal": ("A", "P", "H", "F")}  # fmt: skip
"""What lies left, right, up and down in a picture."""
PAPER = 16
LINE = 18
"""Pixels of the line below a picture."""
TEXT_RGB = (235, 235, 235)
EDGE_RGB = (20, 20, 20)
FIELD_MM = 60.0
"""Of the pictures of one finding, or three of its diameters where that is more."""
OVERVIEW_HEIGHT = 420
FINDING_HEIGHT = 300


@dataclass(frozen=True, eq=False)
class Slice:
    """A slice as it is seen, rows from top to bottom.

    Attributes:
        hu: shape (rows, columns).
        labels: the same shape; the number of the finding.
        spacing_mm: between rows and between columns.
        plane: which direction.
    """

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    spacing_mm: tuple[float, float]
    plane: Plane

    @classmethod
    def cut(cls, volume: Volume, labels: NDArray[np.uint8], plane: Plane, index: int) -> Slice:
        """A slice of an upright volume.

        Args:
            volume: upright.
            labels: upright, the same shape.
            plane: the direction.
            index: along z, y or x.
        """
        z, y, x = volume.spacing_mm
        if plane == "axial":
            return cls(volume.hu[index], labels[index], (y, x), plane)
        if plane == "coronal":
            return cls(volume.hu[::-1, index], labels[::-1, index], (z, x), plane)
        return cls(volume.hu[::-1, :, index], labels[::-1, :, index], (z, y), plane)

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width."""
        return self.hu.shape[0] * self.spacing_mm[0], self.hu.shape[1] * self.spacing_mm[1]

    def near(self, row: float, column: float, field_mm: float) -> Slice:
        """A square of a slice around a place, filled with air where the scan ends."""
        spans, pads = [], []
        for at, spacing, size in zip((row, column), self.spacing_mm, self.hu.shape, strict=True):
            half = field_mm / 2 / spacing
            low, high = round(at - half), round(at + half) + 1
            spans.append(slice(max(0, low), min(size, high)))
            pads.append((max(0, -low), max(0, high - size)))
        rows, columns = spans
        hu = np.pad(self.hu[rows, columns], pads, constant_values=-1024)
        return Slice(hu, np.pad(self.labels[rows, columns], pads), self.spacing_mm, self.plane)


def overview(
    volume: Volume, labels: NDArray[np.uint8], focus_zyx: Triple, below: str = ""
) -> bytes:
    """Three whole slices through a place, all findings outlined and numbered, as a PNG.

    Args:
        volume: the scan, upright.
        labels: upright, the number of the finding at its voxels.
        focus_zyx: the place, a voxel index.
        below: a line below the picture.
    """
    at = [int(np.clip(round(v), 0, n - 1)) for v, n in zip(focus_zyx, volume.shape, strict=True)]
    cuts = [Slice.cut(volume, labels, p, i) for p, i in zip(PLANES, at, strict=True)]
    scale = OVERVIEW_HEIGHT / max(cut.size_mm[0] for cut in cuts)
    pictures = [
        panel(cut, scale, title=f"{i + 1} / {count}")
        for cut, i, count in zip(cuts, at, volume.shape, strict=True)
    ]
    return encode_png(_beside(pictures, below))


def of_finding(
    volume: Volume, labels: NDArray[np.uint8], finding: Finding, below: str = ""
) -> bytes:
    """A finding near by, as a PNG: the axial slice bare, then three slices with the contour.

    Args:
        volume: the scan, upright.
        labels: upright.
        finding: what to show; the axial slice is that of its longest diameter.
        below: a line below the picture.
    """
    z, y, x = finding.upright_zyx
    field = max(FIELD_MM, 3 * finding.diameter.mm)
    top, row = finding.diameter.slice, volume.shape[0] - 1 - z
    axial = Slice.cut(volume, labels, "axial", top).near(y, x, field)
    coronal = Slice.cut(volume, labels, "coronal", round(y)).near(row, x, field)
    sagittal = Slice.cut(volume, labels, "sagittal", round(x)).near(row, y, field)
    scale = FINDING_HEIGHT / field
    pictures = [panel(axial, scale, outlined=False)]
    pictures += [panel(cut, scale) for cut in (axial, coronal, sagittal)]
    return encode_png(_beside(pictures, below))


def said_below(picture: bytes, below: str) -> bytes:
    """A picture of this module with another line below it, such as in another language.

    Args:
        picture: a PNG that was made with a line.
        below: the line.
    """
    from PIL import Image

    sheet = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    return encode_png(_underlined(sheet, below))


def panel(
    cut: Slice, pixels_per_mm: float, *, outlined: bool = True, title: str = ""
) -> NDArray[np.uint8]:
    """A slice with square pixels, in a lung window, with contours and marks.

    Args:
        cut: the slice.
        pixels_per_mm: the size it is drawn at.
        outlined: draw contours and numbers.
        title: a few characters at the top; no words, for pictures are looked at in any language.

    Returns:
        uint8, (rows, columns, 3).
    """
    from PIL import Image, ImageDraw

    low, high = LUNG_WINDOW
    grey = np.clip((cut.hu.astype(np.float32) - low) / (high - low), 0.0, 1.0)
    height, width = (max(1, round(mm * pixels_per_mm)) for mm in cut.size_mm)
    small = Image.fromarray(np.asarray(grey * 255.0 + 0.5, np.uint8))
    rgb = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC).convert("RGB")).copy()
    numbers = _enlarged(cut.labels, (height, width))
    if outlined:
        rgb[_rim(numbers)] = PREDICTION_RGB
    image: Any = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    if outlined:
        for number, place in _places(numbers):
            _write(draw, place, str(number), 13, fill=PREDICTION_RGB)
    _mark(draw, cut.plane, (height, width), title, pixels_per_mm)
    return np.asarray(image)


def _mark(draw: Any, plane: Plane, size: tuple[int, int], title: str, pixels_per_mm: float) -> None:
    """Sides, title and a bar of 10 or 50 mm."""
    height, width = size
    left, right, up, down = MARKS[plane]
    for text, place, anchor in (
        (left, (4, height // 2), "lm"),
        (right, (width - 4, height // 2), "rm"),
        (up, (width // 2, 3), "mt"),
        (down, (width // 2, height - 3), "mb"),
        (title, (5, 3), "lt"),
    ):
        _write(draw, place, text, 12, anchor)
    bar = 50 if width / pixels_per_mm > 200 else 10
    end, line = width - 6, height - 6
    start = end - bar * pixels_per_mm
    draw.line((start - 1, line, end + 1, line), fill=EDGE_RGB, width=4)
    draw.line((start, line, end, line), fill=TEXT_RGB, width=2)
    _write(draw, (end, line - 4), f"{bar} mm", 10, "rb")


def _write(
    draw: Any,
    place: tuple[float, float],
    text: str,
    size: int,
    anchor: str = "la",
    fill: tuple[int, int, int] = TEXT_RGB,
) -> None:
    """Text with a dark edge, to be read on bone and on air."""
    draw.text(place, text, fill, sized(size), anchor, stroke_width=1, stroke_fill=EDGE_RGB)


def _enlarged(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Labels on the picture's pixels, by the nearest voxel."""
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(size, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, columns)]


def _rim(numbers: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels just outside, so that what they surround stays visible."""
    inside = numbers != 0
    if not inside.any():
        return inside
    return np.asarray(ndimage.binary_dilation(inside, iterations=2) & ~inside)


def _places(numbers: NDArray[np.uint8]) -> list[tuple[int, tuple[int, int]]]:
    """For each finding in the picture where its number goes: beside it, to the upper right."""
    boxes = ndimage.find_objects(numbers)
    found = [(n, box) for n, box in enumerate(boxes, start=1) if box is not None]
    return [(n, (box[1].stop + 3, max(0, box[0].start - 13))) for n, box in found]


def _beside(pictures: list[NDArray[np.uint8]], below: str, gap: int = 6) -> NDArray[np.uint8]:
    high = max(p.shape[0] for p in pictures)
    wide = sum(p.shape[1] for p in pictures) + gap * (len(pictures) - 1)
    sheet = np.full((high + (LINE if below else 0), wide, 3), PAPER, np.uint8)
    left = 0
    for picture in pictures:
        top = (high - picture.shape[0]) // 2
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + gap
    return _underlined(sheet, below) if below else sheet


def _underlined(sheet: NDArray[np.uint8], below: str) -> NDArray[np.uint8]:
    """A picture whose lowest pixels hold a line of text and nothing else."""
    from PIL import Image, ImageDraw

    high, wide, _ = sheet.shape
    image: Any = Image.fromarray(sheet)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, high - LINE, wide, high), fill=(PAPER, PAPER, PAPER))
    _write(draw, (6, high - LINE / 2), below, 11, "lm")
    return np.asarray(image)
