"""What a task offers that can be used on single scans, outside of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from medfed.core.task import Execution
    from medfed.core.update import Facts, Tensors
    from medfed.imaging.geometry import Geometry, Volume

Box = tuple[slice, slice, slice]
ROUNDING = 1e-6
"""Voxels."""
Progress = Callable[[int, int], None]
"""Told how many pieces of work are done, and of how many."""


@dataclass(frozen=True, eq=False)
class ProbabilityMap:
    """How probable each voxel of a part of a scan is.

    Attributes:
        values: float32, shape ``(z, y, x)``, from 0 to 1; outside of it nothing was looked at.
        geometry: the grid of the values.
        threshold: the probability from which the task marks a voxel.
    """

    values: NDArray[np.float32]
    geometry: Geometry
    threshold: float


class ScanPredictor(Protocol):
    """A trained model at work on scans, one after another."""

    execution: Execution
    """Threads, precision and device."""

    def __call__(
        self, volume: Volume, lungs: NDArray[np.bool_], progress: Progress
    ) -> ProbabilityMap:
        """Look at a scan, prepared as those that the model was trained on.

        Args:
            volume: the scan, upright (`medfed.imaging.orientation`).
            lungs: its lung mask; empty where no lungs were found, and then everything is looked at.
            progress: told how far it is.
        """


@runtime_checkable
class PredictingTask(Protocol):
    """What a `medfed.core.task.Task` on scans offers besides, so that its models can be used."""

    def predictor(
        self, model: Tensors, facts: Facts, execution: Execution | None = None
    ) -> ScanPredictor:
        """A trained model, ready for scans.

        Args:
            model: the trained tensors.
            facts: the facts that the study fitted first.
            execution: threads, precision and device; what suits this machine where silent.

        Raises:
            DataError: the tensors do not fit the task.
        """


@dataclass(frozen=True, eq=False)
class SecondLook:
    """Two models, one after the other: what the first marks, the second judges.

    Attributes:
        first: marks candidates.
        threshold: the first one's probability from which a voxel belongs to a candidate.
        smallest_mm3: smaller candidates are not judged.
        distance_mm: of candidates closer together than this the most probable is judged.
        most: so many of a scan are judged, the most probable.
        judge: gives each place of a scan (world ``(x, y, z)`` in mm, one row each) a score from
            0 to 1.
    """

    first: ScanPredictor
    threshold: float
    smallest_mm3: float
    distance_mm: float
    most: int
    judge: Callable[[Volume, NDArray[np.float64]], NDArray[np.float64]]


@runtime_checkable
class JudgingTask(Protocol):
    """A task whose models judge what a released model marks."""

    def second_look(
        self, model: Tensors, folders: Sequence[Path], execution: Execution | None = None
    ) -> SecondLook:
        """The trained model and the released one, ready for scans.

        Args:
            model: the trained tensors.
            folders: where released models lie.
            execution: of the released model; what suits this machine where silent.

        Raises:
            DataError: the released model is in none of the folders, or tensors do not fit.
        """


def cropped(grid: Geometry, box: Box) -> Geometry:
    """The grid of a part of a volume.

    Args:
        grid: the whole grid.
        box: where the part begins and ends, ``(z, y, x)``, inside the grid.
    """
    from medfed.imaging.geometry import Geometry

    z, y, x = (s.stop - s.start for s in box)
    origin = grid.to_world([s.start for s in box])
    first = (float(origin[0]), float(origin[1]), float(origin[2]))
    return Geometry((z, y, x), grid.spacing_mm, first, grid.direction)


def covering(grid: Geometry, part: Geometry, margin: int) -> Box:
    """The box of ``grid`` that holds all of another grid along the same axes, and a margin.

    Args:
        grid: the grid to cut from.
        part: what the box must hold, as far as ``grid`` reaches.
        margin: voxels of ``grid`` more on every side.
    """
    import numpy as np

    ends = grid.to_index(part.to_world([[0, 0, 0], [n - 1 for n in part.shape]]))
    # What coincides does so but for rounding.
    low = np.floor(ends.min(axis=0) + ROUNDING).astype(int) - margin
    high = np.ceil(ends.max(axis=0) - ROUNDING).astype(int) + 1 + margin
    z, y, x = (
        slice(max(0, min(int(a), n - 1)), min(n, max(int(b), 1)))
        for a, b, n in zip(low, high, grid.shape, strict=True)
    )
    return z, y, x
