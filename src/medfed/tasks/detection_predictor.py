"""A trained classifier of candidates at work on single scans."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from medfed.core.errors import DataError, Refused
from medfed.core.task import Execution
from medfed.core.update import Tensors
from medfed.imaging.geometry import Volume
from medfed.imaging.prediction import SecondLook
from medfed.tasks.detection_cases import Places, cubes
from medfed.tasks.detection_released import Released, open_released
from medfed.tasks.patches import scaled
from medfed.tasks.segmentation_predictor import loaded, quick_forward

if TYPE_CHECKING:
    from medfed.tasks.detection import NoduleDetection

AT_ONCE = 64


class Judge:
    """Scores places of a scan as the trained classifier sees them.

    Args:
        task: The task with the options of the study.
        model: The trained tensors.

    Raises:
        DataError: They do not fit the network.
    """

    def __init__(self, task: "NoduleDetection", model: Tensors) -> None:
        self.task = task
        self.module = loaded(task.build(), model).eval()

    def __call__(self, volume: Volume, places: Places) -> NDArray[np.float64]:
        """A score from 0 to 1 for each place, shape ``(places,)``."""
        low, high = self.task.window_hu
        found: list[NDArray[np.float64]] = [np.empty(0)]
        with torch.inference_mode():
            for start in range(0, len(places), AT_ONCE):
                some = places[start : start + AT_ONCE]
                hu = cubes(volume, some, self.task.cube, self.task.step_mm).astype(np.float32)
                images = torch.from_numpy(scaled(hu, (low, high))[:, None])
                found.append(self.module(images)[:, 0].double().sigmoid().numpy())
        return np.concatenate(found)


def second_look(
    task: "NoduleDetection", model: Tensors, folders: Sequence[Path], execution: Execution | None
) -> SecondLook:
    """See `medfed.imaging.prediction.JudgingTask`."""
    released = _released(task.model, folders)
    return SecondLook(
        first=released.predictor(execution or quick_forward()),
        threshold=task.threshold,
        smallest_mm3=task.smallest_mm3,
        distance_mm=task.distance_mm,
        most=task.most,
        judge=Judge(task, model),
    )


def _released(digest: str, folders: Sequence[Path]) -> Released:
    try:
        return open_released(digest, folders, "here")
    except Refused:
        looked = ", ".join(map(str, folders)) or "nowhere"
        raise DataError(
            f"the model judges what another one marks, and that other one, with the SHA-256 "
            f"{digest[:12]}…, is not here (looked in {looked})",
            remedy="Put the model.safetensors of the run that trained it into one of these "
            "folders, under any name",
        ) from None
