"""What strategies do with tensors: take weighted differences at a site, move a model by a mean."""

from collections.abc import Iterable

import numpy as np

from medfed.core.task import LocalJob, Trained
from medfed.core.update import BUFFERS, MODEL, Array, Stats, Tensors, Update


def wide(value: Array) -> Array:
    """As float32 or wider: whole numbers (BatchNorm's counters) as float64."""
    if np.issubdtype(value.dtype, np.floating):
        return value.astype(np.result_type(value.dtype, np.float32), copy=False)
    return value.astype(np.float64)


def weighted_delta(start: Array, end: Array, weight: float) -> Array:
    """``weight · (end − start)``."""
    delta = np.asarray(wide(end) - wide(start))
    delta *= weight
    return delta


def local_update(
    start: Tensors, trained: Trained, job: LocalJob, names: Iterable[str] | None = None
) -> Update:
    """The update of one local training: weighted by patients; what learns apart from buffers.

    Args:
        start: The model that training began from.
        trained: What it gave.
        job: The site's workplace.
        names: The tensors that may leave the site; all by default.
    """
    learning = job.trainable()
    tensors = {
        f"{MODEL if name in learning else BUFFERS}/{name}": weighted_delta(
            start[name], trained.tensors[name], job.patients
        )
        for name in (start if names is None else names)
    }
    weights = {name.partition("/")[0]: float(job.patients) for name in tensors}
    return Update(tensors, weights, train_stats(trained.loss_sum, trained.examples, trained.steps))


def train_stats(loss_sum: float, examples: float, steps: int) -> Stats:
    """The statistics that every strategy reports of its local work."""
    values = {"loss_sum": loss_sum, "examples": examples, "steps": steps}
    return {f"train/{name}": np.asarray(value, np.float64) for name, value in values.items()}


def moved(model: Tensors, deltas: Tensors, rate: float, *, spend: bool = False) -> dict[str, Array]:
    """``model + rate · deltas`` in the model's own types; whole numbers are rounded.

    Args:
        model: The model.
        deltas: For some of its tensors, by how much they move.
        rate: How far.
        spend: Whether the deltas' own memory may become the result: with a large model, two copies
            less.
    """
    return {
        name: _moved(value, deltas[name], rate, spend=spend) if name in deltas else value
        for name, value in model.items()
    }


def _moved(value: Array, delta: Array, rate: float, *, spend: bool) -> Array:
    start = wide(value)
    fits = spend and delta.ndim and delta.dtype == np.result_type(start, delta)
    result = np.multiply(delta, np.asarray(rate, delta.dtype), out=delta if fits else None)
    result = np.add(start, result, out=result if fits else None)
    if not np.issubdtype(value.dtype, np.floating):
        result = np.rint(result)
    return np.asarray(result, value.dtype)
