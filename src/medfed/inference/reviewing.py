"""Findings as a person left them: accepted, corrected, or gone; on the scan's own voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import ndimage

from medfed.core.errors import DataError
from medfed.imaging.lungs import lung_mask
from medfed.imaging.orientation import upright
from medfed.inference.findings import Attenuation, Diameter, Finding, Review, solid_share
from medfed.inference.location import Lungs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medfed.imaging.geometry import Geometry, Triple, Volume
    from medfed.imaging.prediction import Box

Verdict = Literal["accepted", "corrected", "rejected"]


@dataclass(frozen=True)
class Judgement:
    """A person's last word on a finding.

    Attributes:
        verdict: whether it stays, and as it is.
        diameter_mm: the longest in an axial slice, where it was corrected.
        centre_mm: world ``(x, y, z)``, mm, LPS, where it was corrected.
        attenuation: where it was corrected.
    """

    verdict: Verdict
    diameter_mm: float | None = None
    centre_mm: Triple | None = None
    attenuation: Attenuation | None = None

    @property
    def outlined(self) -> bool:
        """Whether the model's outline still shows what was judged."""
        return self.diameter_mm is None and self.centre_mm is None


def reviewed(
    found: Sequence[Mapping[str, Any]],
    judged: Mapping[int, Judgement],
    volume: Volume,
    labels: NDArray[np.uint8],
) -> tuple[tuple[Finding, ...], NDArray[np.uint8]]:
    """What stays, with the corrections in it.

    The outline of a finding whose centre or diameter was corrected shows what the person did not
    mean: it gives way to a ball, and volume and density are then no measurements.

    Args:
        found: ``findings`` of ``findings.json``.
        judged: what was said of each, by its number.
        volume: the scan.
        labels: the model's mask on the scan's own grid.

    Returns:
        The findings, numbered from 1 in their order, and their mask.

    Raises:
        DataError: a corrected place is not in the scan, or lies within other findings.
    """
    desk = _Desk(volume, labels)
    kept = [f for f in found if judged[f["number"]].verdict != "rejected"]
    numbered = [(n, f, judged[f["number"]]) for n, f in enumerate(kept, start=1)]
    for number, finding, said in numbered:  # outlines first: balls take what is left
        if said.outlined:
            desk.keep(number, finding["number"])
    for number, finding, said in numbered:
        if not said.outlined:
            desk.draw(number, finding, said)
    boxes = ndimage.find_objects(desk.labels)
    return tuple(desk.read(n, f, said, boxes[n - 1]) for n, f, said in numbered), desk.labels


class _Desk:
    """A scan, the model's mask, and the mask that is made of it."""

    def __init__(self, volume: Volume, marked: NDArray[np.uint8]) -> None:
        self.volume = volume
        self.grid: Geometry = volume.geometry
        self.marked = marked
        self.labels = np.zeros_like(marked)
        self.turn = upright(self.grid)
        self._sides: Lungs | None = None
        self._looked = False

    def keep(self, number: int, marked: int) -> None:
        """Take the model's outline over."""
        self.labels[self.marked == marked] = number

    def read(self, number: int, finding: Mapping[str, Any], judged: Judgement, box: Box) -> Finding:
        """A finding as it was judged.

        Args:
            number: its new number.
            finding: as the model has it.
            judged: what was said of it.
            box: where it was drawn.
        """
        centre, diameter = _place(finding, judged)
        mask, hu = self.labels[box] == number, self.volume.hu[box]
        upright_zyx = _triple(self.turn.geometry(self.grid).to_index(centre))
        side, third = finding["side"], finding["third"]
        if judged.centre_mm is not None:
            lungs = self._lungs()
            side = lungs.side(upright_zyx) if lungs else None
            third = lungs.third(upright_zyx) if lungs else None
        outlined = judged.outlined
        return Finding(
            number=number,
            centre_mm=centre,
            centre_zyx=_triple(self.grid.to_index(centre)),
            upright_zyx=upright_zyx,
            side=side,
            third=third,
            diameter=Diameter(diameter, round(upright_zyx[0]), ((0.0, 0.0), (0.0, 0.0))),
            volume_mm3=float(mask.sum()) * float(np.prod(self.grid.spacing_mm)),
            voxels=int(mask.sum()),
            mean_hu=float(hu[mask].mean(dtype=np.float64)),
            solid_share=finding["solid_share"] if outlined else solid_share(hu, mask),
            attenuation=judged.attenuation or finding["attenuation"],
            score=finding["score"],
            probability=finding["probability"],
            calibrated=finding["calibrated"],
            review=Review(finding["number"], judged.verdict == "corrected", outlined),
        )

    def draw(self, number: int, finding: Mapping[str, Any], judged: Judgement) -> None:
        """A ball on the voxels that are free; its centre's voxel where it is smaller than one."""
        name, (centre, diameter) = finding["number"], _place(finding, judged)
        if not self.grid.contains(centre):
            raise DataError(
                f"the corrected centre of finding {name} is not in the scan",
                remedy="Correct it again: click its place in the picture",
            )
        at = self.grid.to_index(centre)
        reach = diameter / 2 / np.asarray(self.grid.spacing_mm)
        low = np.maximum(np.floor(at - reach).astype(int), 0)
        high = np.minimum(np.ceil(at + reach).astype(int) + 1, self.grid.shape)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        places = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"))
        steps = (np.moveaxis(places, 0, -1) - at) * np.asarray(self.grid.spacing_mm)
        ball = np.linalg.norm(steps, axis=-1) <= diameter / 2
        nearest = np.clip(np.rint(at).astype(int), 0, np.asarray(self.grid.shape) - 1) - low
        ball[tuple(nearest)] = True
        free = ball & (self.labels[box] == 0)
        if not free.any():
            raise DataError(
                f"finding {name} lies wholly within other findings",
                remedy="Reject one of them, or correct its centre or diameter",
            )
        self.labels[box][free] = number

    def _lungs(self) -> Lungs | None:
        if not self._looked:
            standing = self.turn.volume(self.volume)
            self._sides = Lungs.of(lung_mask(standing), standing.spacing_mm)
            self._looked = True
        return self._sides


def _place(finding: Mapping[str, Any], judged: Judgement) -> tuple[Triple, float]:
    """Centre and diameter: the person's, else the model's."""
    centre = judged.centre_mm or _triple(finding["centre_world_lps_mm"])
    return centre, judged.diameter_mm or float(finding["longest_axial_diameter_mm"])


def _triple(values: Any) -> Triple:
    a, b, c = (float(v) for v in values)
    return a, b, c
