"""Training on records that were noised one by one before anything was computed from them."""

from collections.abc import Callable
from typing import ClassVar

import torch

from medfed.core.errors import Refused
from medfed.core.task import LocalPlan, Trained
from medfed.core.update import Array, Tensors
from medfed.frameworks.examples import TableBatch, TensorExamples
from medfed.frameworks.torch_job import TorchJob

Noised = Callable[[Array, Array], tuple[Array, Array]]
"""From the training patients' inputs and outcomes to noised ones, of the same shapes and types."""


class RecordsJob(TorchJob[TableBatch]):
    """A `TorchJob` whose training patients are noised once, when training first asks for them.

    Args:
        job: The workplace as the task opened it; its module is shared.
        noised: Draws the noise; called once, and not before there is work.

    Raises:
        Refused: The task does not keep its patients as rows of numbers.
    """

    private: ClassVar[bool] = True
    """Another wrapper around it would undo what it does; see `medfed.privacy.rules.plain_job`."""

    def __init__(self, job: TorchJob[TableBatch], noised: Noised) -> None:
        if not isinstance(job.sets["train"], TensorExamples):
            message = "this task does not keep its patients as rows of numbers"
            raise Refused("training-failed", message)
        super().__init__(job.site, job.module, job.sets, job.learning, job.seed, job.execution)
        self._noised: Noised | None = noised

    def train(self, start: Tensors, plan: LocalPlan) -> Trained:
        """Train from ``start`` as ``plan`` says, on noised records.

        Raises:
            Refused: ``budget-spent``, and what the plain workplace refuses.
        """
        self._draw()
        return super().train(start, plan)

    def gradient(self, at: Tensors, l2: float = 0.0) -> tuple[Tensors, float]:
        """The gradient of the mean loss over the noised records, and that loss."""
        self._draw()
        return super().gradient(at, l2)

    def _draw(self) -> None:
        if self._noised is None:
            return
        plain = self.sets["train"]
        assert isinstance(plain, TensorExamples)  # noqa: S101  # so it was when this was made
        parts = (plain.features.cpu().numpy(), plain.labels.cpu().numpy())
        features, labels = (torch.from_numpy(one).to(self.device) for one in self._noised(*parts))
        noised = TensorExamples(features, labels, at_least=plain.at_least)
        self.sets = {**self.sets, "train": noised}
        self._noised = None
