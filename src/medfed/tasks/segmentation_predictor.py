"""A trained segmentation model at work on single scans."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from medfed.core.cores import cores
from medfed.core.errors import DataError
from medfed.core.task import Execution
from medfed.core.update import Tensors
from medfed.frameworks.execution import autocast, for_looking, lay_out
from medfed.frameworks.tuning import has_bf16
from medfed.imaging.geometry import Geometry, Volume
from medfed.imaging.prediction import Box, ProbabilityMap, Progress, covering, cropped
from medfed.imaging.resample import isotropic, resample_to
from medfed.tasks.patches import scaled
from medfed.tasks.segmentation_cases import MARGIN_MM

if TYPE_CHECKING:
    from medfed.tasks.segmentation import NoduleSegmentation

SLAB = 16
NOTHING = -30.0
"""The logit where no network looked: about 1e-13."""


class SegmentationPredictor:
    """`medfed.imaging.prediction.ScanPredictor` of a `NoduleSegmentation`.

    A scan is resampled, cut to the lungs and scaled as those of the training were, and looked at
    window by window. Windows without lung are left out, and windows are made a little smaller than
    the task's ``roi`` where as many of them then cover the box.

    Args:
        task: The task with the options of the study.
        model: The trained tensors.
        execution: Threads, precision, device and layout.
    """

    def __init__(
        self, task: "NoduleSegmentation", model: Tensors, execution: Execution | None = None
    ) -> None:
        self.task = task
        self.execution = execution or quick_forward()
        self.module = lay_out(loaded(task.build(), model), self.execution).eval()

    def __call__(
        self, volume: Volume, lungs: NDArray[np.bool_], progress: Progress = lambda *_: None
    ) -> ProbabilityMap:
        """Probabilities in the box around the lungs; see `ScanPredictor`."""
        place = self._place(volume.geometry, lungs)
        hu = _on_grid(volume, place)
        seen = _near(lungs, volume.geometry, place)
        values = self._probabilities(hu, seen, progress)
        return ProbabilityMap(values, place, self.task.threshold)

    def _place(self, grid: Geometry, lungs: NDArray[np.bool_]) -> Geometry:
        """The part of the study's grid that is looked at."""
        spacing = self.task.spacing_mm
        target = grid if spacing is None else isotropic(grid, spacing)
        if not self.task.crop or not lungs.any():
            return target
        around = cropped(grid, _bounds(lungs))
        z, y, x = covering(target, around, 0)
        box = tuple(
            slice(max(0, s.start - m), min(n, s.stop + m))
            for s, m, n in zip((z, y, x), _margin(target), target.shape, strict=True)
        )
        return cropped(target, (box[0], box[1], box[2]))

    def _probabilities(
        self, hu: NDArray[np.int16], seen: NDArray[np.bool_], progress: Progress
    ) -> NDArray[np.float32]:
        from monai.inferers import sliding_window_inference

        task = self.task
        step = 2 ** (len(task.filters) - 1)
        roi = [window(n, task.roi, task.overlap, step) for n in hu.shape]
        looked = _Windows(self.module, seen, roi, task.overlap, progress)
        before = torch.get_num_threads()
        torch.set_num_threads(self.execution.threads)
        try:
            with torch.inference_mode(), autocast(self.execution):
                image = torch.from_numpy(self._scaled(hu))
                logits: Any = sliding_window_inference(
                    image[None, None].to(self.execution.device),
                    roi,
                    1,
                    looked,
                    overlap=task.overlap,
                    mode="gaussian",
                    with_coord=True,
                )
                found: NDArray[np.float32] = logits[0, 0].float().sigmoid_().cpu().numpy()
        finally:
            torch.set_num_threads(before)
        return found

    def _scaled(self, hu: NDArray[np.int16]) -> NDArray[np.float32]:
        """What the network sees, made in slabs: there is one copy of it and no more."""
        low, high = self.task.window_hu
        image = np.empty(hu.shape, np.float32)
        for start in range(0, len(hu), SLAB):
            part = slice(start, start + SLAB)
            image[part] = scaled(hu[part].astype(np.float32), (low, high))
        return image


class _Windows:
    """The network, asked about those windows that hold lung.

    Args:
        module: The network.
        seen: Where there is lung; empty to look everywhere.
        roi: Voxels of a window.
        overlap: Of neighbouring windows.
        progress: Told each window.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        seen: NDArray[np.bool_],
        roi: list[int],
        overlap: float,
        progress: Progress,
    ) -> None:
        self.module = module
        self.seen = seen
        self.everywhere = not seen.any()
        self.progress = progress
        self.done = 0
        counts = (len(starts(n, r, overlap)) for n, r in zip(seen.shape, roi, strict=True))
        self.total = math.prod(counts)

    def __call__(self, window: torch.Tensor, coordinates: Any) -> torch.Tensor:
        _, _, *box = coordinates[0]
        if self.everywhere or self.seen[tuple(box)].any():
            logits: torch.Tensor = self.module(window).float()
        else:
            logits = torch.full_like(window, NOTHING, dtype=torch.float32)
        self.done += 1
        self.progress(self.done, self.total)
        return logits


def quick_forward() -> Execution:
    """How to look at scans on this machine: in bfloat16, voxel by voxel, where it has that."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    plain = Execution(cores(), "fp32", device)
    return for_looking(replace(plain, precision="bf16")) if has_bf16(device) else plain


def window(size: int, largest: int, overlap: float, step: int) -> int:
    """The edge of the smallest windows that cover an axis in as many steps as the largest would.

    Args:
        size: Voxels along the axis.
        largest: The largest edge, a multiple of ``step``.
        overlap: Share of a window that the next one covers too.
        step: What edges must be a multiple of.
    """
    if size <= largest:
        return -(-size // step) * step
    count = math.ceil((size - overlap * largest) / (largest * (1 - overlap)) - 1e-9)
    edge = math.ceil(size / (count - (count - 1) * overlap) - 1e-9)
    return min(largest, -(-edge // step) * step)


def starts(size: int, edge: int, overlap: float) -> list[int]:
    """Where MONAI's sliding windows begin along an axis."""
    if size <= edge:
        return [0]
    every = max(1, int(edge * (1 - overlap)))
    first = range(0, size, every)
    found = [min(s, size - edge) for s in first]
    return sorted(set(found))


def loaded(module: torch.nn.Module, model: Tensors) -> torch.nn.Module:
    """A network with the tensors of a trained model.

    Raises:
        DataError: They do not fit it, or are not finite.
    """
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    given = {name: tuple(np.shape(value)) for name, value in model.items()}
    if wanted != given:
        odd = sorted(name for name in wanted | given if wanted.get(name) != given.get(name))
        message = f"the model does not fit the network that its study names: {odd[0]} differs"
        raise DataError(message, remedy="Use the model with the study that trained it")
    tensors = {name: torch.tensor(np.asarray(value)) for name, value in model.items()}
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise DataError("the model holds numbers that are not finite", remedy="Train it again")
    module.load_state_dict(tensors)
    return module


def _bounds(mask: NDArray[np.bool_]) -> Box:
    z, y, x = (
        np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)
    )
    return (
        slice(int(z[0]), int(z[-1]) + 1),
        slice(int(y[0]), int(y[-1]) + 1),
        slice(int(x[0]), int(x[-1]) + 1),
    )


def _margin(grid: Geometry) -> list[int]:
    return [round(MARGIN_MM / s) for s in grid.spacing_mm]


def _on_grid(volume: Volume, place: Geometry) -> NDArray[np.int16]:
    """The scan on a part of the study's grid; only what that part needs is touched."""
    grid = volume.geometry
    box = covering(grid, place, margin=2)
    part = cropped(grid, box)
    if place.spacing_mm == grid.spacing_mm:
        z, y, x = covering(grid, place, margin=0)
        return np.ascontiguousarray(volume.hu[z, y, x])
    hu = np.ascontiguousarray(volume.hu[box])
    return resample_to(Volume(hu, part.spacing_mm, part.origin_mm, part.direction), place).hu


def _near(lungs: NDArray[np.bool_], grid: Geometry, place: Geometry) -> NDArray[np.bool_]:
    """The lung mask on a part of the study's grid, by the nearest voxel."""
    if not lungs.any():
        return np.zeros(place.shape, bool)
    first = grid.to_index(place.to_world([0, 0, 0]))
    picks = [
        np.clip(np.rint(f + np.arange(n) * new / old).astype(int), 0, size - 1)
        for f, n, new, old, size in zip(
            first, place.shape, place.spacing_mm, grid.spacing_mm, grid.shape, strict=True
        )
    ]
    return lungs[np.ix_(*picks)]
