"""The gradient of each patient, clipped: the one place where patients are kept apart.

Two ways to the same sum. Where all parameters belong to linear layers, the length of a patient's
gradient follows from what went into each layer and what came back (Goodfellow, "Efficient
Per-Example Gradient Computations", 2015), and only the clipped sum is ever made. For all else
functorch makes one gradient for each patient.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

Loss = Callable[[Any, Any], torch.Tensor]
Traces = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""For each linear layer what went in and what came out, a row for each example."""


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
        parameters: The parameters to differentiate by; they must require gradients.
        loss: One value per example; called with something that is called like the module.
        batch: Tensors of shape (patients, examples of each, …).
        clip: The longest gradient, Euclidean norm over all parameters together.
    """
    layers = _linear(module, parameters)
    found = _by_layer(module, layers, loss, batch) if layers else None
    if found is not None:
        return _clipped_layers(layers, parameters, found, clip)
    return _clipped(_each(module, parameters, loss, batch), clip)


def _each(
    module: nn.Module, parameters: Mapping[str, nn.Parameter], loss: Loss, batch: Any
) -> dict[str, torch.Tensor]:
    """One gradient for each patient."""
    values = {name: p.detach() for name, p in parameters.items()}

    def of_one(values: dict[str, torch.Tensor], own: Any) -> torch.Tensor:
        return loss(partial(functional_call, module, values), own).float().mean()

    each = vmap(grad(of_one), in_dims=(None, 0), randomness="different")(values, batch)
    return {name: gradients.detach() for name, gradients in each.items()}


def _clipped(each: Mapping[str, torch.Tensor], clip: float) -> dict[str, torch.Tensor]:
    squares = [g.flatten(1).double().square().sum(1) for g in each.values()]
    norms = torch.stack(squares).sum(0).sqrt()
    odd = ~norms.isfinite()
    if odd.any():
        each = {k: g.masked_fill(odd.view(-1, *[1] * (g.dim() - 1)), 0.0) for k, g in each.items()}
    scale = _scale(norms, odd, clip)
    return {name: torch.einsum("p,p...->...", scale, g) for name, g in each.items()}


def _scale(norms: torch.Tensor, odd: torch.Tensor, clip: float) -> torch.Tensor:
    return (clip / norms.masked_fill(odd, 0.0).clamp(min=clip)).float()


def _linear(module: nn.Module, parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Linear]:
    """The linear layers by name; none where a parameter is anywhere else, or in two places."""
    layers = {name: part for name, part in module.named_modules() if type(part) is nn.Linear}
    held = {f"{name}.{own}" for name, part in layers.items() for own, _ in part.named_parameters()}
    return layers if set(parameters) <= held else {}


def _by_layer(
    module: nn.Module, layers: Mapping[str, nn.Linear], loss: Loss, batch: Any
) -> Traces | None:
    """What went into each layer and the slope of the patients' losses behind it.

    Shapes (patients, examples, width). None where a layer is used twice or not on rows.
    """
    patients, own = batch[0].shape[:2]
    calls: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {name: [] for name in layers}

    def keep(name: str, _: nn.Module, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
        calls[name].append((given[0], out))

    handles = [p.register_forward_hook(partial(keep, name)) for name, p in layers.items()]
    try:
        values = loss(module, tuple(part.flatten(0, 1) for part in batch)).float()
    finally:
        for handle in handles:
            handle.remove()
    if any(len(made) != 1 or made[0][0].dim() != 2 for made in calls.values()):
        return None
    slopes = torch.autograd.grad(values.sum() / own, [made[0][1] for made in calls.values()])
    return {
        name: (
            made[0][0].detach().float().unflatten(0, (patients, own)),
            slope.float().unflatten(0, (patients, own)),
        )
        for (name, made), slope in zip(calls.items(), slopes, strict=True)
    }


def _clipped_layers(
    layers: Mapping[str, nn.Linear],
    parameters: Mapping[str, nn.Parameter],
    traces: Traces,
    clip: float,
) -> dict[str, torch.Tensor]:
    squares = sum(_squares(name, parameters, *traces[name]) for name in layers)
    assert isinstance(squares, torch.Tensor)  # noqa: S101  # there are layers
    odd = ~squares.isfinite()
    scale = _scale(squares.sqrt(), odd, clip)
    found: dict[str, torch.Tensor] = {}
    for name in layers:
        given, slope = traces[name]
        if odd.any():
            given, slope = (x.masked_fill(odd[:, None, None], 0.0) for x in (given, slope))
        scaled = slope * scale[:, None, None]
        if f"{name}.weight" in parameters:
            found[f"{name}.weight"] = scaled.flatten(0, 1).T @ given.flatten(0, 1)
        if f"{name}.bias" in parameters:
            found[f"{name}.bias"] = scaled.sum((0, 1))
    return found


def _squares(
    name: str,
    parameters: Mapping[str, nn.Parameter],
    given: torch.Tensor,
    slope: torch.Tensor,
) -> torch.Tensor:
    """Squared lengths of the patients' gradients of one layer, in double precision."""
    total = torch.zeros(len(given), dtype=torch.float64, device=given.device)
    if f"{name}.weight" in parameters:
        total += (_gram(given) * _gram(slope)).sum((1, 2)).clamp(min=0.0)
    if f"{name}.bias" in parameters:
        total += _length(slope.sum(1)).square()
    return total


def _gram(rows: torch.Tensor) -> torch.Tensor:
    """Products of each patient's rows with each other, shape (patients, examples, examples)."""
    if rows.shape[1] == 1:
        return _length(rows[:, 0]).square()[:, None, None]
    wide = rows.double()
    return wide @ wide.transpose(1, 2)


def _length(rows: torch.Tensor) -> torch.Tensor:
    length: torch.Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return length
