"""Patches varied by chance as scanners and patients vary, in Hounsfield units.

What is done to a patch is what a scan of the same person could show: the table of Hounsfield units
a little off (calibration, beam hardening), another dose, another kernel, another way of lying and
another size. Air stays air, and nothing falls below what a CT measures. All of it is arithmetic on
arrays of a patch's size, with one pass over memory each, because a batch has to be made in a small
part of the time a training step takes. MONAI's transforms of the same names take four to twelve
times as long (docs/decisions/0019).
"""

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
AIR_HU = -1000.0
FLOOR_HU = -1024.0


@dataclass(frozen=True)
class Augmentation:
    """How far patches are varied; each value is the largest change, drawn evenly up to it.

    Attributes:
        share: Share of patches that are turned, and likewise of those that are blurred or given
            noise: a network must see plain patches, too, as it will be used on plain scans.
        mirror: Mirror along each axis, half of the times.
        rotate: Degrees, about the axis of the body.
        zoom: Part of its size by which a patch is enlarged or reduced.
        shift_hu: Brightness, HU.
        contrast: Part by which the distance to air changes.
        noise_hu: Standard deviation of white noise, HU.
        blur: Weight of the two neighbours of a voxel along each axis, at most 1/3.
    """

    share: float = 0.3
    mirror: bool = True
    rotate: float = 15.0
    zoom: float = 0.1
    shift_hu: float = 30.0
    contrast: float = 0.03
    noise_hu: float = 20.0
    blur: float = 0.15

    def describe(self) -> tuple[str, ...]:
        """In words, for a model card."""
        notes = [
            ("mirroring", self.mirror),
            (f"brightness within {self.shift_hu:g} HU", self.shift_hu),
            (f"contrast within {self.contrast:.0%}", self.contrast),
            (f"turns within {self.rotate:g}°", self.rotate and self.share),
            (f"sizes within {self.zoom:.0%}", self.zoom and self.share),
            (f"noise up to {self.noise_hu:g} HU", self.noise_hu and self.share),
            ("mild blur", self.blur and self.share),
        ]
        return tuple(words for words, done in notes if done)


@dataclass(frozen=True)
class Turn:
    """Where a patch's voxels are taken from: turned about the body's axis, and zoomed.

    Attributes:
        angle: Radians.
        zoom: Voxels of the scan for one of the patch.
    """

    angle: float
    zoom: float


def drawn_turn(how: Augmentation, rng: np.random.Generator) -> Turn | None:
    """How the next patch is turned; None for a patch that is left as it lies."""
    if not (how.rotate or how.zoom) or rng.random() >= how.share:
        return None
    angle, zoom = rng.uniform(-1, 1, 2) * (how.rotate, how.zoom)
    return Turn(radians(angle), 1.0 + float(zoom))


def turned(values: NDArray[np.generic], corner: NDArray[np.int64], size: int, turn: Turn) -> Floats:
    """A cube of a volume, turned and zoomed about its middle, linearly interpolated.

    What lies beyond the volume is what lies at its edge.

    Args:
        values: Shape (z, y, x), at least one voxel each way.
        corner: Of the cube as it would lie without a turn, (z, y, x).
        size: Its edge, voxels.
        turn: Angle and zoom.

    Returns:
        float32, shape (size, size, size).
    """
    depth, height, width = values.shape
    middle = corner + (size - 1) / 2
    steps = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * turn.zoom
    z, above, up = _between(middle[0] + steps, depth)
    first = int(z[0])
    slab = values[first : int(above[-1]) + 1].reshape(-1, height * width)
    c, s = cos(turn.angle), sin(turn.angle)
    rows, columns = steps[:, None], steps[None, :]
    y, below, down = _between((middle[1] + c * rows + s * columns).ravel(), height)
    x, beside, along = _between((middle[2] - s * rows + c * columns).ravel(), width)
    top = _mix(_take(slab, y * width + x), _take(slab, y * width + beside), along)
    bottom = _mix(_take(slab, below * width + x), _take(slab, below * width + beside), along)
    plane = _mix(top, bottom, down)
    found = _mix(plane[z - first], plane[above - first], up[:, None])
    return found.reshape(size, size, size)


def looks(hu: Floats, how: Augmentation, rng: np.random.Generator) -> None:
    """Vary brightness, contrast, sharpness and noise of a patch, in place.

    Args:
        hu: Hounsfield units, shape (z, y, x).
        how: How far.
        rng: Draws how much.
    """
    if how.blur and rng.random() < how.share:
        _blur(hu, float(rng.uniform(0, how.blur)))
    shift, contrast = rng.uniform(-1, 1, 2) * (how.shift_hu, how.contrast)
    if how.shift_hu or how.contrast:
        # (HU - air) · (1 + contrast) + air + shift
        hu *= np.float32(1 + contrast)
        hu += np.float32(shift - AIR_HU * contrast)
    if how.noise_hu and rng.random() < how.share:
        noise = rng.standard_normal(hu.shape, dtype=np.float32)
        noise *= np.float32(rng.uniform(0, how.noise_hu))
        hu += noise
    np.maximum(hu, np.float32(FLOOR_HU), out=hu)


def mirrored(rng: np.random.Generator) -> tuple[slice, ...]:
    """How to step through an array to see it mirrored, or not, along each axis."""
    return tuple(slice(None, None, -1 if turn else 1) for turn in rng.integers(0, 2, 3))


def _between(
    at: NDArray[np.floating], size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """The voxels on both sides of a place, and the weight of the second."""
    at = np.clip(at, 0, size - 1)
    low = at.astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (at - low).astype(np.float32)


def _take(slab: NDArray[np.generic], where: NDArray[np.intp]) -> Floats:
    return slab.take(where, axis=1).astype(np.float32)


def _mix(one: Floats, other: Floats, share: Floats) -> Floats:
    other = other - one
    other *= share
    other += one
    return other


def _blur(hu: Floats, weight: float) -> None:
    """Mix every voxel with its two neighbours along each axis; those at the edge have one."""
    for axis in range(3):
        moved = np.moveaxis(hu, axis, 0)
        difference = np.diff(moved, axis=0)
        difference *= np.float32(weight)
        moved[:-1] += difference
        moved[1:] -= difference
