"""From a scan to findings: a trained model, the lungs, and what stands out in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.core.errors import DataError
from medfed.core.registry import make, part_from_json
from medfed.imaging.candidates import Candidate, labelled, suppressed
from medfed.imaging.geometry import Geometry, Volume
from medfed.imaging.lungs import lung_mask
from medfed.imaging.orientation import Upright, upright
from medfed.imaging.prediction import (
    Box,
    JudgingTask,
    PredictingTask,
    ProbabilityMap,
    Progress,
    ScanPredictor,
    SecondLook,
    covering,
    cropped,
)
from medfed.imaging.resample import resample_mask
from medfed.inference.findings import Finding, attenuation_of, longest_axial, solid_share
from medfed.inference.location import Lungs
from medfed.inference.model import ModelIdentity
from medfed.inference.second_look import judged

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from medfed.core.task import Execution, Task
    from medfed.core.update import Tensors
    from medfed.imaging.geometry import Triple

LARGEST_LABEL = 255
EVEN = 0.5
"""A classifier that learned from as many nodules as others holds both for equally likely here."""


@dataclass(frozen=True)
class Rules:
    """What becomes a finding.

    Attributes:
        smallest_mm: pieces of a smaller volume than a ball of this diameter are left out; LUNA16
            counts nodules from 3 mm.
        apart_mm: of two pieces whose centres are closer, the more probable stays.
        most: no more findings than this; the most probable stay.
        least_score: where a second model judges what the first one marked, what it gives a lower
            score is left out; `EVEN` where silent.
    """

    smallest_mm: float = 3.0
    apart_mm: float = 5.0
    most: int = 100
    least_score: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.most <= LARGEST_LABEL:
            raise ValueError(f"a mask holds 1 to {LARGEST_LABEL} findings, not {self.most}")

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model found in a scan.

    Attributes:
        findings: the most probable first.
        labels: uint8, the scan's own grid: the number of the finding at its voxels, 0 elsewhere.
        turn: how the scan is brought upright.
        threshold: the probability from which a voxel was marked.
        rules: what became a finding.
        execution: threads, precision and device.
        notes: sentences about this scan that whoever reads the findings should know.
    """

    findings: tuple[Finding, ...]
    labels: NDArray[np.uint8]
    turn: Upright
    threshold: float
    rules: Rules
    execution: Execution
    notes: tuple[str, ...]


class NodulePredictor:
    """A trained model, ready to look at scans.

    ::

        tensors, about = medfed.storage.models.read_model(Path("runs/nodules/model.safetensors"))
        found = NodulePredictor(tensors, about).predict(volume)

    Scans are prepared as the model's file says those of the training were. A model that judges what
    a released one marks (``nodule-detection``) brings that one in by its digest.

    Args:
        tensors: The model.
        about: What its file says about itself: study, task with options, facts.
        sha256: The file's digest, for the record.
        execution: Threads, precision and device; what suits this machine where silent.
        threads: Threads alone; the rest as suits this machine.
        rules: What becomes a finding.
        folders: Where released models lie that this one builds on.

    Raises:
        DataError: The model does not say how it was trained, does not fit its task, or the one
            that it builds on is not there.
        PartError: Its task is not installed here.
    """

    def __init__(
        self,
        tensors: Tensors,
        about: Mapping[str, Any],
        sha256: str = "",
        execution: Execution | None = None,
        threads: int | None = None,
        rules: Rules | None = None,
        folders: Sequence[Path] = (),
    ) -> None:
        self.model = ModelIdentity.read(about, sha256)
        self.rules = rules or Rules()
        facts = about.get("facts") or {}
        task: Task = make("task", part_from_json(self.model.task))
        self._second: SecondLook | None = None
        self._look: ScanPredictor
        if isinstance(task, JudgingTask):
            self._second = task.second_look(tensors, folders, execution)
            self._look = self._second.first
            if self.rules.least_score is None:
                self.rules = replace(self.rules, least_score=EVEN)
        elif isinstance(task, PredictingTask):
            self._look = task.predictor(tensors, facts, execution)
        else:
            message = f"a model of the task {self.model.task['name']} cannot look at a scan"
            remedy = "Give a model of nodule-segmentation or nodule-detection"
            raise DataError(message, remedy=remedy)
        self.describe: Mapping[str, Any] = task.describe(facts)
        if threads:
            self._look.execution = replace(self._look.execution, threads=threads)

    def predict(self, volume: Volume, progress: Progress = lambda *_: None) -> Prediction:
        """Find nodules in a chest CT.

        Args:
            volume: The scan, in any orientation.
            progress: Told how many windows are done, and of how many.
        """
        turn = upright(volume.geometry)
        standing = turn.volume(volume)
        lungs = lung_mask(standing)
        seen = self._look(standing, lungs, progress)
        if self._second:
            seen = replace(seen, threshold=self._second.threshold)
        labels = np.zeros(volume.shape, np.uint8)
        drawn = _Drawn(standing, lungs, turn.view(labels), seen, self.model)
        chosen, notes = self._chosen(seen, drawn)
        sides = Lungs.of(lungs, standing.spacing_mm)
        findings = tuple(
            drawn.measured(number, candidate, box, sides, turn, volume.geometry)
            for number, (candidate, box) in enumerate(chosen, start=1)
        )
        return Prediction(
            findings=findings,
            labels=labels,
            turn=turn,
            threshold=seen.threshold,
            rules=self.rules,
            execution=self._look.execution,
            notes=(*_about_lungs(sides, standing.shape), *notes),
        )

    def _chosen(
        self, seen: ProbabilityMap, drawn: _Drawn
    ) -> tuple[list[tuple[Candidate, Box]], list[str]]:
        """The candidates that become findings, drawn into the mask in their order."""
        smallest = np.pi / 6 * self.rules.smallest_mm**3
        spacing = seen.geometry.spacing_mm
        found, pieces = labelled(seen.values, spacing, seen.threshold, smallest)
        notes: list[str] = []
        if self._second:
            grid, least = seen.geometry, self.rules.least_score or 0.0
            found, notes = judged(self._second, found, drawn.volume, grid, least)
        chosen: list[tuple[Candidate, Box]] = []
        outside = more = 0
        for candidate in suppressed(found, self.rules.apart_mm):
            if len(chosen) == self.rules.most:
                more += 1
                continue
            box = drawn.draw(len(chosen) + 1, candidate, pieces)
            if box is None:
                outside += 1
            else:
                chosen.append((candidate, box))
        if outside:
            notes.append(
                "What the model marked outside the lungs was left out: 1 piece."
                if outside == 1
                else f"What the model marked outside the lungs was left out: {outside} pieces."
            )
        if more:
            notes.append(
                f"The model marked more than {self.rules.most} places; {more} less probable ones "
                "were left out. It may not suit this scan."
            )
        return chosen, notes


class _Drawn:
    """The mask on the scan's upright grid, and what is measured in it.

    Args:
        volume: The scan, upright.
        lungs: Its lung mask; empty where none were found.
        labels: Where to draw; a view of the mask on the scan's own grid.
        seen: The probabilities.
        model: Whose they are.
    """

    def __init__(
        self,
        volume: Volume,
        lungs: NDArray[np.bool_],
        labels: NDArray[np.uint8],
        seen: ProbabilityMap,
        model: ModelIdentity,
    ) -> None:
        self.volume = volume
        self.grid = volume.geometry
        self.lungs = lungs
        self.anywhere = not lungs.any()
        self.labels = labels
        self.seen = seen
        self.model = model

    def draw(self, number: int, candidate: Candidate, pieces: NDArray[np.uint32]) -> Box | None:
        """Draw a candidate; the box it was drawn in, or None where none of it is in a lung."""
        wide = _wider(candidate.box, self.seen.values.shape)
        part = cropped(self.seen.geometry, wide)
        box = covering(self.grid, part, margin=1)
        if not (self.anywhere or self.lungs[box].any()):
            return None
        piece = pieces[wide] == candidate.label
        place = cropped(self.grid, box)
        inside = _moved(piece, part, place)
        inside &= self.labels[box] == 0
        if not inside.any() or not (self.anywhere or self.lungs[box][inside].any()):
            return None
        self.labels[box][inside] = number
        return box

    def measured(
        self,
        number: int,
        candidate: Candidate,
        box: Box,
        sides: Lungs | None,
        turn: Upright,
        own: Geometry,
    ) -> Finding:
        """Measure what was drawn.

        Args:
            number: Its label.
            candidate: What it was drawn from.
            box: Where, upright.
            sides: The two lungs.
            turn: How the scan was brought upright.
            own: The scan's own grid.
        """
        mask = self.labels[box] == number
        hu = self.volume.hu[box]
        corner = np.array([s.start for s in box])
        inside = np.argwhere(mask)
        centre = _triple(inside.mean(axis=0) + corner)
        diameter = longest_axial(mask, self.grid.spacing_mm)
        diameter = type(diameter)(
            diameter.mm,
            diameter.slice + int(corner[0]),
            tuple((y + corner[1], x + corner[2]) for y, x in diameter.ends),  # type: ignore[arg-type]  # two, as before
        )
        share = solid_share(hu, mask)
        calibration = self.model.calibration
        score = candidate.probability
        return Finding(
            number=number,
            centre_mm=_triple(self.grid.to_world(centre)),
            centre_zyx=_triple(np.asarray(turn.index(centre, own))),
            upright_zyx=centre,
            side=sides.side(centre) if sides else None,
            third=sides.third(centre) if sides else None,
            diameter=diameter,
            volume_mm3=len(inside) * float(np.prod(self.grid.spacing_mm)),
            voxels=len(inside),
            mean_hu=float(hu[mask].mean(dtype=np.float64)),
            solid_share=share,
            attenuation=attenuation_of(share, diameter.mm),
            score=score,
            probability=calibration(score) if calibration else score,
            calibrated=calibration is not None,
        )


def _moved(piece: NDArray[np.bool_], part: Geometry, place: Geometry) -> NDArray[np.bool_]:
    """A piece on the scan's grid: half and more of a voxel counts, and at least its centre does."""
    inside = resample_mask(piece, part, place).astype(bool)
    if not inside.any():  # smaller than the scan's voxels
        centre = place.to_index(part.to_world(np.argwhere(piece).mean(axis=0)))
        at = np.clip(np.rint(centre).astype(int), 0, np.asarray(place.shape) - 1)
        inside[tuple(at)] = True
    return inside


def _wider(box: Box, shape: tuple[int, ...]) -> Box:
    """A box with a voxel more on every side, as far as there are any."""
    z, y, x = (
        slice(max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(box, shape, strict=True)
    )
    return z, y, x


def _triple(values: NDArray[np.float64]) -> Triple:
    a, b, c = (float(v) for v in values)
    return a, b, c


def _about_lungs(sides: Lungs | None, shape: tuple[int, int, int]) -> list[str]:
    if sides is None:
        return ["No lungs were recognised, so the whole scan was looked at. Is it a chest CT?"]
    notes = []
    if sides.split is None:
        notes.append("Right and left lung could not be told apart.")
    if sides.cut_off(shape[0]):
        notes.append("The scan does not show the whole lungs; thirds are of what it shows.")
    return notes
