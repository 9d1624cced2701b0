"""A site's workplace for segmentation: the common training loop, and predictions to look at."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medfed.core.data import SetName
from medfed.core.seeding import derive
from medfed.core.task import Execution
from medfed.core.update import Tensors
from medfed.frameworks.torch_job import Learning, TorchJob
from medfed.tasks.patches import PatchBatch, PatchExamples
from medfed.tasks.segmentation_cases import Cases, Prepared

Predict = Callable[[nn.Module, Prepared], NDArray[np.float32]]


class SegmentationJob(TorchJob[PatchBatch]):
    """`TorchJob` with the probabilities of single scans; see it for the arguments."""

    def __init__(
        self,
        site: str,
        module: nn.Module,
        sets: Mapping[SetName, PatchExamples],
        learning: Learning[PatchBatch],
        seed: int,
        execution: Execution,
        predict: Predict,
    ) -> None:
        super().__init__(site, module, sets, learning, seed, execution)
        self._patches = sets
        self._predict = predict

    def cases(self, on: SetName) -> Cases:
        """The prepared scans of one set."""
        return self._patches[on].cases

    def predict(self, model: Tensors, case: Prepared) -> NDArray[np.float32]:
        """The probability of nodule for each voxel of a scan's box."""
        seed = derive(self.seed, self.site, "predict")
        with self._at_work(seed), torch.inference_mode():
            self._load(model)
            with self._precision():
                return self._predict(self.module.eval(), case)
