"""Whether a model keeps patients apart: tried out, for a walk over its modules cannot tell.

``x - x.mean(0)`` needs no layer and no buffer of its own. Where the gradients of all patients are
made together, the clip of one would then bound what others changed.
"""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from medfed.frameworks.per_patient import Loss
from medfed.frameworks.torch_job import seeded

SEED = 1
"""Draws the same weights and the same dropout each time: what differs is the other patient."""


def keeps_apart(module: nn.Module, loss: Loss, batch: Any) -> bool:
    """Whether what a model makes of the first patient stays when the others are changed.

    A trial and no proof: it sees what mixes patients by accident, in training and in evaluation.
    The weights are moved first, for a model that begins at zero answers nothing.

    Args:
        module: The model; left in the mode it was in.
        loss: One value per example.
        batch: Tensors of shape (patients, examples of each, …), of at least one patient.
    """
    pair = [torch.cat([part[:1], part[1:2] if len(part) > 1 else part[:1]]) for part in batch]
    other = [torch.cat([part[:1], _another(part[1:])]) for part in pair]
    own, was = pair[0].shape[1], module.training
    try:
        return all(_alike(module.train(mode), loss, pair, other, own) for mode in (False, True))
    finally:
        module.train(was)


def _another(part: torch.Tensor) -> torch.Tensor:
    """A patient like no other, of values that every kind of input has."""
    return torch.zeros_like(part) if part.any() else torch.ones_like(part)


def _alike(
    module: nn.Module,
    loss: Loss,
    pair: list[torch.Tensor],
    other: list[torch.Tensor],
    own: int,
) -> bool:
    first, second = (_answers(module, loss, given, own) for given in (pair, other))
    return torch.allclose(first, second, rtol=1e-4, atol=1e-6, equal_nan=True)


def _answers(module: nn.Module, loss: Loss, given: list[torch.Tensor], own: int) -> torch.Tensor:
    """The first patient's values, from weights that are moved alike each time."""
    with seeded(SEED, given[0].device), torch.no_grad():
        moved = {k: p + 0.1 * torch.randn_like(p) for k, p in module.named_parameters()}
        rows = tuple(part.flatten(0, 1) for part in given)
        values = loss(partial(functional_call, module, moved), rows)
    return values.flatten()[:own].float()
