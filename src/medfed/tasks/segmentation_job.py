"""A site's workplace for segmentation: the common training loop, and predictions to look at."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import nn

from medfed.core.data import SetName
from medfed.core.task import Execution
from medfed.core.update import Stats, Tensors, add_stats
from medfed.frameworks.examples import Examples
from medfed.frameworks.torch_job import Learning, TorchJob
from medfed.tasks.patches import PatchBatch, PatchExamples
from medfed.tasks.segmentation_candidates import candidate_stats
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
        threshold: float,
    ) -> None:
        super().__init__(site, module, sets, learning, seed, execution)
        self._patches = sets
        self._predict = predict
        self._threshold = threshold

    def cases(self, on: SetName) -> Cases:
        """The prepared scans of one set."""
        return self._patches[on].cases

    def explain(self, model: Tensors) -> Stats:
        """Candidates in the scans of validation patients, by score; see `tasks.calibration`.

        Empty where there are none: test patients are for the final figures alone.
        """
        return self._evaluated(self._candidates, model, "valid")

    def _candidates(self, module: nn.Module, on: Examples[PatchBatch]) -> Stats:
        assert isinstance(on, PatchExamples)  # noqa: S101  # this job serves nothing else
        return add_stats(
            candidate_stats(((c, self._predict(module, c)) for c in own), self._threshold)
            for own in on.cases.by_patient()
        )

    def predict(self, model: Tensors, case: Prepared) -> NDArray[np.float32]:
        """The probability of nodule for each voxel of a scan's box."""
        with self._looking(model, "predict") as module:
            return self._predict(module, case)
