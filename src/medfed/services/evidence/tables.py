"""A site's table, encoded once, of which any patients may be the training set."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medfed.core.data import SetName
from medfed.core.task import LocalJob
from medfed.core.update import Array, Stats, Tensors
from medfed.frameworks.examples import Examples, TensorExamples
from medfed.frameworks.torch_job import TorchJob

LOSSES = "losses"


class Table:
    """The patients trained on and those held out, in this order, as the model sees them.

    Args:
        job: A job whose sets are tables.
    """

    def __init__(self, job: TorchJob[Any]) -> None:
        self._job = job
        parts = [_table(job.sets, name) for name in ("train", "test")]
        self._features = torch.cat([part.features for part in parts])
        self._labels = torch.cat([part.labels for part in parts])
        self._at_least = parts[0].at_least
        self.trained = len(parts[0])

    @classmethod
    def of(cls, job: LocalJob) -> Optional["Table"]:
        """The table behind a job; None where patients are no rows of numbers."""
        rows = isinstance(job, TorchJob) and isinstance(job.sets.get("train"), TensorExamples)
        return cls(job) if rows else None  # type: ignore[arg-type]  # checked in the line above

    @property
    def patients(self) -> int:
        """Of both kinds."""
        return len(self._features)

    @property
    def rows(self) -> NDArray[np.float64]:
        """What the model sees of each patient, shape (patients, inputs)."""
        return self._features.cpu().numpy().astype(np.float64)

    @property
    def module(self) -> nn.Module:
        """The model; its weights are nobody's."""
        return self._job.module

    def learning_from(self, who: NDArray[Any], seed: int | None = None) -> TorchJob[Any]:
        """A workplace with some patients only; it shares the model with all others.

        Args:
            who: A mask of the patients, or their places.
            seed: Starts its random streams; as in the run by default.
        """
        job = copy.copy(self._job)
        chosen = np.flatnonzero(who) if who.dtype == np.bool_ else who
        job.sets = {"train": self._some(chosen)}
        job.patients = len(chosen)
        job.seed = self._job.seed if seed is None else seed
        return job

    def losses(self, model: Tensors) -> Array:
        """The loss of every patient under a model, shape (patients,)."""
        job = copy.copy(self._job)
        job.sets = {"test": self._some(np.arange(self.patients))}
        job.learning = replace(job.learning, evaluate=_each_loss(job.learning.loss))
        return np.asarray(job.evaluate(model, "test")[LOSSES])

    def _some(self, places: NDArray[Any]) -> TensorExamples:
        index = torch.from_numpy(places).to(self._features.device)
        return TensorExamples(self._features[index], self._labels[index], at_least=self._at_least)


def _table(sets: Mapping[SetName, Examples[Any]], name: SetName) -> TensorExamples:
    found = sets[name]
    assert isinstance(found, TensorExamples)  # noqa: S101  # all sets of a job are of one kind
    return found


def _each_loss(loss: Any) -> Any:
    """An evaluation that gives the loss of every example."""

    def evaluate(module: nn.Module, on: Examples[Any]) -> Stats:
        values = [loss(module, batch).float() for batch in on.batches(None, 65_536)]
        return {LOSSES: torch.cat(values).cpu().numpy().astype(np.float64)}

    return evaluate
