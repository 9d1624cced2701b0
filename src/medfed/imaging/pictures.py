"""Slices as PNG pictures, with the truth and the prediction outlined.

Colours are from Okabe and Ito's palette (2008), told apart by colour-blind readers too: the truth
is bluish green, the prediction orange; where the outlines coincide the prediction is on top, dashed
so that the truth shows through.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

LUNG_WINDOW = (-1350.0, 250.0)
TRUTH_RGB = (0, 200, 150)
PREDICTION_RGB = (255, 159, 28)
LETTER_RGB = (255, 235, 120)


def slice_png(
    hu_slice: ArrayLike,
    truth: ArrayLike | None = None,
    prediction: ArrayLike | None = None,
    window: tuple[float, float] = (-600.0, 1500.0),
    scale: int = 4,
) -> bytes:
    """One slice as a PNG.

    Args:
        hu_slice: shape (rows, columns), Hounsfield units, as it should be seen (an axial slice of
            an LPS volume already is: the patient's left at the right, the back at the bottom).
        truth: same shape, non-zero inside; outlined in green.
        prediction: same shape, non-zero inside; outlined in orange, dashed.
        window: (level, width), as radiologists say it; the default is a lung window.
        scale: pixels drawn per voxel.
    """
    return encode_png(slice_rgb(hu_slice, truth, prediction, window, scale))


def slice_rgb(
    hu_slice: ArrayLike,
    truth: ArrayLike | None = None,
    prediction: ArrayLike | None = None,
    window: tuple[float, float] = (-600.0, 1500.0),
    scale: int = 4,
) -> NDArray[np.uint8]:
    """`slice_png` before encoding: uint8, shape (rows*scale, columns*scale, 3)."""
    from PIL import Image

    hu = np.asarray(hu_slice, dtype=np.float32)
    if hu.ndim != 2:
        raise ValueError(f"a slice has two axes, not {hu.ndim}")
    if scale < 1:
        raise ValueError("scale is at least 1")
    level, width = window
    if width <= 0:
        raise ValueError("the width of a window is positive")
    grey = np.clip((hu - (level - width / 2)) / width, 0.0, 1.0)
    image = Image.fromarray(np.asarray(grey * 255.0 + 0.5, dtype=np.uint8))
    size = (hu.shape[1] * scale, hu.shape[0] * scale)
    rows = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    rgb = np.repeat(rows[..., None], 3, axis=2)
    if truth is not None:
        rgb[_outline(truth, hu.shape, scale)] = TRUTH_RGB
    if prediction is not None:
        line = _outline(prediction, hu.shape, scale)
        row, column = np.arange(line.shape[0]), np.arange(line.shape[1])
        dash = (row[:, None] + column) // max(2, scale) % 3 < 2
        rgb[line & dash] = PREDICTION_RGB
    return rgb


def lettered(
    picture: NDArray[np.uint8], left: str, right: str, top: str, bottom: str
) -> NDArray[np.uint8]:
    """A picture with letters at its edges that say where the patient's sides are.

    Args:
        picture: uint8, (rows, columns, 3).
        left: at the left edge, such as ``R``; so for the others.
        right: see ``left``.
        top: see ``left``.
        bottom: see ``left``.
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    draw, (width, height) = ImageDraw.Draw(image), image.size
    size = max(10, min(width, height) // 18)
    font, gap = ImageFont.load_default(size), size // 3
    for letter, at, anchor in (
        (left, (gap, height // 2), "lm"),
        (right, (width - gap, height // 2), "rm"),
        (top, (width // 2, gap), "mt"),
        (bottom, (width // 2, height - gap), "mb"),
    ):
        # A dark edge keeps a letter readable on bone and on air.
        draw.text(at, letter, LETTER_RGB, font, anchor, stroke_width=2, stroke_fill=(0, 0, 0))
    return np.asarray(image)


def plane_png(
    hu: ArrayLike,
    step_mm: tuple[float, float],
    window: tuple[float, float],
    outline: ArrayLike | None = None,
    longest: int = 768,
) -> bytes:
    """One plane of a volume as a PNG whose pixels are square, quickly.

    Args:
        hu: shape (rows, columns), Hounsfield units, as it should be seen.
        step_mm: between rows and between columns, mm.
        window: (level, width), HU.
        outline: same shape, non-zero inside; outlined in green.
        longest: pixels along the longer side.
    """
    from PIL import Image

    level, width = window
    values = np.asarray(hu, dtype=np.float32)
    grey = np.clip((values - (level - width / 2)) / width, 0.0, 1.0) * 255.0 + 0.5
    rows, columns = (n * step for n, step in zip(values.shape, step_mm, strict=True))
    scale = longest / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    image: Any = Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    if outline is not None:
        inside = Image.fromarray((np.asarray(outline) != 0).astype(np.uint8))
        large = np.asarray(inside.resize(size, Image.Resampling.NEAREST))
        rgb = np.repeat(np.asarray(image)[..., None], 3, axis=2)
        rgb[_outline(large, large.shape, 1)] = TRUTH_RGB
        image = Image.fromarray(rgb)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def montage(
    pictures: Sequence[NDArray[np.uint8]], columns: int = 4, gap: int = 4, background: int = 16
) -> bytes:
    """Pictures (uint8, (rows, columns, 3)) side by side, in rows of ``columns``, as one PNG."""
    if not pictures:
        raise ValueError("a montage needs at least one picture")
    columns = max(1, min(columns, len(pictures)))
    high = max(p.shape[0] for p in pictures)
    wide = max(p.shape[1] for p in pictures)
    lines = -(-len(pictures) // columns)
    shape = (lines * (high + gap) - gap, columns * (wide + gap) - gap, 3)
    sheet = np.full(shape, background, dtype=np.uint8)
    for number, picture in enumerate(pictures):
        top = number // columns * (high + gap)
        left = number % columns * (wide + gap)
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return encode_png(sheet)


def encode_png(rgb: NDArray[np.uint8]) -> bytes:
    """uint8 (rows, columns, 3) as PNG bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    image: Any = Image.fromarray(rgb)
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _outline(mask: ArrayLike, shape: tuple[int, ...], scale: int) -> NDArray[np.bool_]:
    """The rim just outside a mask, so that what it surrounds stays visible."""
    inside = np.asarray(mask) != 0
    if inside.shape != shape:
        raise ValueError(f"the outline has shape {inside.shape}, the slice {shape}")
    large = np.kron(inside, np.ones((scale, scale), dtype=bool))
    thickness = max(1, scale // 3)
    return np.asarray(ndimage.binary_dilation(large, iterations=thickness) & ~large)
