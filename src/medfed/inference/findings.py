"""One finding: its place, its size, and what it is made of, measured on the scan's own voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.imaging.geometry import Triple
    from medfed.inference.location import Side, Third

Attenuation = Literal["solid", "part-solid", "ground-glass"]

SOLID_HU = -300
"""From here a voxel of a subsolid nodule is solid: Scholten et al., "Detection and quantification
of the solid component in pulmonary subsolid nodules by semiautomatic segmentation", European
Radiology 25(2), 2015 (sensitivity 90 %, specificity 88 % for part-solid nodules)."""
SOME_SOLID, ALL_SOLID = 0.05, 0.9
"""Shares of solid voxels between which a nodule is part-solid: ours, to allow for noise and for
voxels that are partly lung."""
SMALLEST_PART_SOLID_MM = 6.0
"""Smaller nodules cannot be told to be part-solid: MacMahon et al., "Guidelines for management of
incidental pulmonary nodules detected on CT images: from the Fleischner Society 2017", Radiology
284(1), 2017."""
FEWEST_CORE = 8
"""Voxels that must be left where the rim is taken off, or the rim counts too."""


@dataclass(frozen=True)
class Diameter:
    """A longest diameter in one axial slice.

    Attributes:
        mm: its length.
        slice: the slice's z index, upright.
        ends: its ends as (y, x) indices in that slice, upright.
    """

    mm: float
    slice: int
    ends: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Review:
    """What a person said of a finding.

    Attributes:
        number: what the model called it; a review that leaves others out numbers segments anew.
        corrected: whether anything was changed.
        outlined: whether its voxels are those that the model marked; else they are a ball of the
            person's diameter about the person's centre, and only these two are measurements.
    """

    number: int
    corrected: bool
    outlined: bool


@dataclass(frozen=True)
class Finding:
    """Something that the model takes for a nodule.

    Attributes:
        number: its label in the mask and its segment in DICOM, from 1.
        centre_mm: world ``(x, y, z)``, mm, LPS: the mean of its voxels.
        centre_zyx: the same as a voxel index of the input, ``(z, y, x)``.
        upright_zyx: the same in the upright view.
        side: of which lung; None where two lungs could not be told.
        third: of that lung's height; None where no lungs were found.
        diameter: the longest in an axial slice.
        volume_mm3: of its voxels.
        voxels: how many there are.
        mean_hu: over its voxels.
        solid_share: share of voxels from -300 HU, without the rim.
        attenuation: solid, part-solid or ground-glass; see `attenuation_of`.
        score: what the network gave its most probable voxel.
        probability: the score calibrated, or the score itself.
        calibrated: which of the two.
        review: what a person said of it; None where nobody has.
    """

    number: int
    centre_mm: Triple
    centre_zyx: Triple
    upright_zyx: Triple
    side: Side | None
    third: Third | None
    diameter: Diameter
    volume_mm3: float
    voxels: int
    mean_hu: float
    solid_share: float
    attenuation: Attenuation
    score: float
    probability: float
    calibrated: bool
    review: Review | None = None

    @property
    def name(self) -> int:
        """What people call it: the number that the model gave it."""
        return self.review.number if self.review else self.number

    @property
    def outlined(self) -> bool:
        """Whether its voxels were marked by the model, and measured."""
        return self.review is None or self.review.outlined

    @property
    def place(self) -> str:
        """Where it is, in words."""
        if self.third is None:
            return "lungs not recognised"
        lung = f"{self.side} lung" if self.side else "lung, side not told"
        return f"{lung}, {self.third} third"

    def to_json(self) -> dict[str, Any]:
        """As plain data, for ``findings.json``."""
        return {
            "number": self.number,
            "centre_world_lps_mm": [round(v, 3) for v in self.centre_mm],
            "centre_voxel_zyx": [round(v, 3) for v in self.centre_zyx],
            "side": self.side,
            "third": self.third,
            "longest_axial_diameter_mm": round(self.diameter.mm, 2),
            "volume_mm3": round(self.volume_mm3, 2),
            "voxels": self.voxels,
            "mean_hu": round(self.mean_hu, 1),
            "solid_share": round(self.solid_share, 4),
            "attenuation": self.attenuation,
            "score": round(self.score, 6),
            "probability": round(self.probability, 6),
            "calibrated": self.calibrated,
        }


def longest_axial(mask: NDArray[np.bool_], spacing_mm: Triple) -> Diameter:
    """The longest diameter of a mask in any of its axial slices.

    The outline runs half way between the voxels inside and those outside, as in pyradiomics'
    "Maximum 2D diameter (Slice)" (van Griethuysen et al., Cancer Research 77(21), 2017).

    Args:
        mask: upright, ``(z, y, x)``, some of it True.
        spacing_mm: along ``(z, y, x)``.
    """
    best = Diameter(-1.0, 0, ((0.0, 0.0), (0.0, 0.0)))
    scale = np.asarray(spacing_mm[1:])
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        points = _outline(mask[z])
        if np.linalg.norm(np.ptp(points, axis=0) * scale) <= best.mm:
            continue  # not even the diagonal of its box is as long
        distances = squareform(pdist(points * scale))
        a, b = np.unravel_index(int(distances.argmax()), distances.shape)
        if distances[a, b] > best.mm:
            ends = tuple((float(points[i, 0]), float(points[i, 1])) for i in (a, b))
            best = Diameter(float(distances[a, b]), int(z), (ends[0], ends[1]))
    return best


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The corners of the outline of a slice: midpoints between neighbours inside and outside."""
    wide = np.pad(inside, 1)
    found = []
    for axis in (0, 1):
        for step in (-1, 1):
            edge = np.argwhere(wide & ~np.roll(wide, -step, axis)) - 1.0
            edge[:, axis] += step / 2
            found.append(edge)
    points = np.concatenate(found)
    try:
        return points[ConvexHull(points).vertices]
    except QhullError:  # all on one line
        return points


def solid_share(hu: NDArray[np.int16], mask: NDArray[np.bool_]) -> float:
    """The share of voxels from -300 HU, without the rim, whose voxels are partly lung.

    Args:
        hu: shape ``(z, y, x)``.
        mask: the same shape, some of it True.
    """
    core = ndimage.binary_erosion(mask)
    if core.sum() < FEWEST_CORE:
        core = mask
    return float((hu[core] >= SOLID_HU).mean())


def attenuation_of(share: float, diameter_mm: float) -> Attenuation:
    """Solid, part-solid or ground-glass.

    Args:
        share: `solid_share`.
        diameter_mm: the longest axial diameter; below 6 mm nothing is called part-solid.
    """
    if diameter_mm < SMALLEST_PART_SOLID_MM:
        return "solid" if share >= 0.5 else "ground-glass"
    if share < SOME_SOLID:
        return "ground-glass"
    return "solid" if share >= ALL_SOLID else "part-solid"
