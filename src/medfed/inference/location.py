"""Where in the lungs: right or left, upper, middle or lower third.

Nothing here knows the fissures, so nothing here says "lobe".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.imaging.geometry import Triple

Side = Literal["right", "left"]
Third = Literal["upper", "middle", "lower"]

WORKING_MM = 3.0
VALLEY = 0.7
"""Between the lungs there is at most this part of the smaller lung's width at its widest."""
SMALLER_LUNG = 0.1
"""Each side has at least this part of all lung."""


@dataclass(frozen=True)
class Lungs:
    """The two lungs of an upright volume.

    Attributes:
        split: the x index of the plane between the lungs; None where two lungs cannot be told.
        heights: the first and last z index of the lung of each side, and of all lung under None.
    """

    split: float | None
    heights: dict[Side | None, tuple[float, float]]

    @classmethod
    def of(cls, mask: NDArray[np.bool_], spacing_mm: Triple) -> Lungs | None:
        """Part a mask into its lungs.

        The plane between them is sagittal and stands where least lung is, between the two places
        where most is.

        Args:
            mask: the lung mask of an upright volume, ``(z, y, x)``.
            spacing_mm: along ``(z, y, x)``.

        Returns:
            None where the mask is empty.
        """
        steps = tuple(max(1, round(WORKING_MM / s)) for s in spacing_mm)
        coarse = mask[:: steps[0], :: steps[1], :: steps[2]]
        if not coarse.any():
            return None
        valley = _valley(coarse.sum(axis=(0, 1)).astype(np.float64))
        heights: dict[Side | None, tuple[float, float]] = {None: _height(coarse, steps[0])}
        if valley is None:
            return cls(None, heights)
        heights["right"] = _height(coarse[:, :, :valley], steps[0])
        heights["left"] = _height(coarse[:, :, valley:], steps[0])
        return cls((valley - 0.5) * steps[2], heights)

    def side(self, centre_zyx: Triple) -> Side | None:
        """The side of a voxel; None where two lungs could not be told."""
        if self.split is None:
            return None
        return "right" if centre_zyx[2] < self.split else "left"

    def third(self, centre_zyx: Triple) -> Third:
        """The third of that lung's height, as far as the scan shows it."""
        low, high = self.heights[self.side(centre_zyx)]
        share = (centre_zyx[0] - low) / max(high - low, 1.0)
        return "lower" if share < 1 / 3 else "middle" if share < 2 / 3 else "upper"

    def cut_off(self, slices: int) -> bool:
        """Whether the lungs reach the first or last of the volume's slices."""
        low, high = self.heights[None]
        return low <= 0 or high >= slices - 1


def _valley(profile: NDArray[np.float64]) -> int | None:
    """Where the right lung ends and the left begins, along x."""
    wide = ndimage.uniform_filter1d(profile, 5)
    middle = int(np.rint((profile * np.arange(len(profile))).sum() / profile.sum()))
    if not 0 < middle < len(profile) - 1:
        return None
    right, left = int(wide[:middle].argmax()), middle + int(wide[middle:].argmax())
    between = wide[right : left + 1]
    lowest = between.min()
    found = right + int(np.rint(np.flatnonzero(between <= lowest + 1e-9).mean()))
    parts = profile[:found].sum(), profile[found:].sum()
    if lowest > VALLEY * min(wide[right], wide[left]):
        return None
    return found if min(parts) >= SMALLER_LUNG * sum(parts) else None


def _height(mask: NDArray[np.bool_], step: int) -> tuple[float, float]:
    inside = np.flatnonzero(mask.any(axis=(1, 2)))
    return float(inside[0] * step), float(inside[-1] * step)
