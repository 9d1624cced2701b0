"""How a task serves a site's patients to a training loop, batch by batch."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

B_co = TypeVar("B_co", covariant=True)

TableBatch = tuple[torch.Tensor, torch.Tensor]
"""Features and labels of some patients, one row each."""


class Examples(Protocol[B_co]):
    """One set of a site's patients, ready to be served in batches.

    A table serves rows; a segmentation task serves patches, which it draws from its volumes with
    ``rng``. Whatever a batch is, the task's loss and evaluation understand it. Nothing may be kept
    between passes that changes what a later pass serves.
    """

    def __len__(self) -> int:
        """Patients in the set."""

    def batches(self, rng: np.random.Generator | None, batch_size: int) -> Iterator[B_co]:
        """One pass over the set.

        Args:
            rng: Shuffles and augments; without one the pass is plain, in order and always the same.
            batch_size: Examples a batch.
        """


@runtime_checkable
class Planned(Protocol[B_co]):
    """Examples whose batches may be made ahead of their use, in any order, by any thread."""

    def makers(
        self, rng: np.random.Generator | None, batch_size: int
    ) -> Iterator[Callable[[], B_co]]:
        """One pass over the set, as functions that make one batch each.

        All that is drawn from ``rng`` is drawn before a function is given; each gives the same
        batch whenever it is called. Together they give what `Examples.batches` gives.
        """


@runtime_checkable
class Separable(Protocol):
    """Examples that can be looked at patient by patient, for paired comparisons of models."""

    def each(self) -> Iterator[Any]:
        """One `Examples` of one patient for every patient, in order."""


@runtime_checkable
class ByPatient(Protocol[B_co]):
    """Examples that can be served patient by patient, as differential privacy needs."""

    def people(self) -> int:
        """How many patients there are to draw from."""

    def of(self, patients: NDArray[np.int64], seed: int) -> Iterator[B_co]:
        """What some patients have, each tensor of shape (patients, examples of each, …).

        Args:
            patients: Their places.
            seed: Draws and augments, for each patient independently of who else is there.
        """


class TensorExamples:
    """Patients whose features fit into memory as one tensor; a pass gathers them once.

    Args:
        features: One row per patient.
        labels: One value per patient.
        at_least: A last batch of fewer rows joins the one before (batch normalisation needs two).
    """

    def __init__(self, features: torch.Tensor, labels: torch.Tensor, *, at_least: int = 1) -> None:
        self.features = features
        self.labels = labels
        self.at_least = at_least

    def __len__(self) -> int:
        return len(self.features)

    def batches(self, rng: np.random.Generator | None, batch_size: int) -> Iterator[TableBatch]:
        """One pass over the rows; see `Examples.batches`."""
        features, labels = self.features, self.labels
        if rng is not None:
            order = torch.from_numpy(rng.permutation(len(features))).to(features.device)
            features, labels = features.index_select(0, order), labels.index_select(0, order)
        sizes = _sizes(len(features), batch_size, self.at_least)
        yield from zip(features.split(sizes), labels.split(sizes), strict=True)

    def people(self) -> int:
        """One row is one patient; see `ByPatient`."""
        return len(self.features)

    def of(self, patients: NDArray[np.int64], seed: int) -> Iterator[TableBatch]:
        """The rows of some patients; see `ByPatient`."""
        if len(patients):
            rows = torch.from_numpy(patients).to(self.features.device)
            features, labels = self.features.index_select(0, rows), self.labels[rows]
            yield features[:, None], labels[:, None]

    def each(self) -> Iterator["TensorExamples"]:
        """Every patient alone; see `Separable`."""
        for row in range(len(self.features)):
            yield TensorExamples(self.features[row : row + 1], self.labels[row : row + 1])


def _sizes(rows: int, batch_size: int, at_least: int) -> list[int]:
    full, rest = divmod(rows, batch_size)
    sizes = [batch_size] * full + [rest] * bool(rest)
    if len(sizes) > 1 and sizes[-1] < at_least:
        last = sizes.pop()
        sizes[-1] += last
    return sizes


def to_device(batch: Any, device: torch.device) -> Any:
    """A batch with its tensors on a device; tuples and mappings are followed."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, tuple | list):
        return type(batch)(to_device(item, device) for item in batch)
    if isinstance(batch, dict):
        return {name: to_device(item, device) for name, item in batch.items()}
    return batch
