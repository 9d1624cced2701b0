"""The gradient of each patient, clipped: the one place where patients are kept apart."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

Loss = Callable[[Any, Any], torch.Tensor]


def clipped_sum(
    module: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    loss: Loss,
    batch: Any,
    clip: float,
) -> dict[str, torch.Tensor]:
    """The sum over patients of their gradients, each no longer than ``clip``.

    A patient's gradient is that of the mean loss of all that is theirs. One that is not finite
    counts as zero: to stop for it would tell that such a patient is here.

    Args:
        module: The model, in the mode it shall have.
        parameters: The parameters to differentiate by.
        loss: One value per example; called with something that is called like the module.
        batch: Tensors of shape (patients, examples of each, …).
        clip: The longest gradient, Euclidean norm over all parameters together.
    """
    values = {name: p.detach() for name, p in parameters.items()}

    def of_one(values: dict[str, torch.Tensor], own: Any) -> torch.Tensor:
        return loss(partial(functional_call, module, values), own).float().mean()

    each = vmap(grad(of_one), in_dims=(None, 0), randomness="different")(values, batch)
    return _clipped(each, clip)


def _clipped(each: Mapping[str, torch.Tensor], clip: float) -> dict[str, torch.Tensor]:
    squares = [g.flatten(1).double().square().sum(1) for g in each.values()]
    norms = torch.stack(squares).sum(0).sqrt()
    odd = ~norms.isfinite()
    if odd.any():
        each = {k: g.masked_fill(odd.view(-1, *[1] * (g.dim() - 1)), 0.0) for k, g in each.items()}
        norms = norms.masked_fill(odd, 0.0)
    scale = (clip / norms.clamp(min=clip)).float()
    return {name: torch.einsum("p,p...->...", scale, g) for name, g in each.items()}
