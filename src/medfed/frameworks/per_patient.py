"""The gradient of each patient, clipped: the one place where patients are kept apart.

Two ways to the same sum. Where all parameters belong to linear layers and each patient is one row,
the length of a gradient follows from what went into each layer and what came back (Goodfellow,
"Efficient Per-Example Gradient Computations", 2015), and only the clipped sum is ever made. For
all else functorch makes one gradient for each patient.

What is clipped is what is summed: lengths, factors and sums are made without autocast, for a sum
in bfloat16 would move by more than the clip for one patient.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

Loss = Callable[[Any, Any], torch.Tensor]
Traces = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""For each linear layer what went in and what came back, a row for each patient."""
MOST_NUMBERS = 2**24
"""Numbers that are held for the patients in hand together: bounds the memory."""
HUGE = 1e30
"""Length in clips, or of an input, from which a patient counts as zero: factors would be denormal
in float32, and rounded to twice what they are."""


def at_once(
    parameters: Mapping[str, nn.Parameter], layers: Mapping[str, nn.Linear], *, single: bool
) -> int:
    """How many patients may be in hand together.

    Args:
        parameters: The parameters to differentiate by.
        layers: Of `linear_layers`.
        single: Whether each patient is one example. Then linear layers need no gradient of each.
    """
    through = sum(part.in_features + part.out_features for part in layers.values())
    each = through if layers and single else sum(p.numel() for p in parameters.values())
    return max(1, MOST_NUMBERS // max(1, each))


def clipped_sum(
    module: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    loss: Loss,
    batch: Any,
    clip: float,
    layers: Mapping[str, nn.Linear] | None = None,
) -> dict[str, torch.Tensor]:
    """The sum over patients of their gradients, each no longer than ``clip``.

    A patient's gradient is that of the mean loss of all that is theirs. One that is not finite, or
    `HUGE`, counts as zero: to stop for it would tell that such a patient is here. An autocast
    around the call holds for the gradients; the sum is in float32.

    Args:
        module: The model, in the mode it shall have.
        parameters: The parameters to differentiate by; they must require gradients.
        loss: One value per example; called with something that is called like the module.
        batch: Tensors of shape (patients, examples of each, …).
        clip: The longest gradient, Euclidean norm over all parameters together.
        layers: Of `linear_layers`, where they are known already.
    """
    layers = linear_layers(module, parameters) if layers is None else layers
    # Rows of one patient may cancel out, and a sum over all rows would lose the others in them.
    single = batch[0].shape[1] == 1
    found = _by_layer(module, layers, loss, batch) if layers and single else None
    if found is not None:
        with torch.autocast(batch[0].device.type, enabled=False):
            return _clipped_layers(layers, parameters, found, clip)
    total: dict[str, torch.Tensor] = {}
    for some in _split(batch, at_once(parameters, {}, single=single)):
        each = _each(module, parameters, loss, some)
        with torch.autocast(batch[0].device.type, enabled=False):
            for name, value in _clipped(each, clip).items():
                total[name] = total[name].add_(value) if name in total else value
    return total


def _split(batch: Any, most: int) -> list[Any]:
    """A batch in parts of so many patients."""
    return list(zip(*(part.split(most) for part in batch), strict=True))


def _each(
    module: nn.Module, parameters: Mapping[str, nn.Parameter], loss: Loss, batch: Any
) -> dict[str, torch.Tensor]:
    """One gradient for each patient."""
    values = {name: p.detach() for name, p in parameters.items()}

    def of_one(values: dict[str, torch.Tensor], own: Any) -> torch.Tensor:
        return loss(partial(functional_call, module, values), own).float().mean()

    each = vmap(grad(of_one), in_dims=(None, 0), randomness="different")(values, batch)
    return {name: gradients.detach().float() for name, gradients in each.items()}


def _clipped(each: Mapping[str, torch.Tensor], clip: float) -> dict[str, torch.Tensor]:
    norms = torch.stack([_length(g.flatten(1)) for g in each.values()]).square().sum(0).sqrt()
    odd = ~(norms < HUGE * clip)
    if odd.any():
        each = {k: g.masked_fill(odd.view(-1, *[1] * (g.dim() - 1)), 0.0) for k, g in each.items()}
    scale = _scale(norms, odd, clip)
    return {name: torch.einsum("p,p...->...", scale, g) for name, g in each.items()}


def _scale(norms: torch.Tensor, odd: torch.Tensor, clip: float) -> torch.Tensor:
    return (clip / norms.masked_fill(odd, 0.0).clamp(min=clip)).float()


def linear_layers(
    module: nn.Module, parameters: Mapping[str, nn.Parameter]
) -> dict[str, nn.Linear]:
    """The linear layers by name; none where a parameter is anywhere else, or in two places."""
    layers = {name: part for name, part in module.named_modules() if type(part) is nn.Linear}
    held = {f"{name}.{own}" for name, part in layers.items() for own, _ in part.named_parameters()}
    return layers if set(parameters) <= held else {}


def _by_layer(
    module: nn.Module, layers: Mapping[str, nn.Linear], loss: Loss, batch: Any
) -> Traces | None:
    """What went into each layer and the slope of the patients' losses behind it.

    Shapes (patients, width). None where a layer is used twice or not on rows.
    """
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
    slopes = torch.autograd.grad(values.sum(), [made[0][1] for made in calls.values()])
    return {
        name: (made[0][0].detach().float(), slope.float())
        for (name, made), slope in zip(calls.items(), slopes, strict=True)
    }


def _clipped_layers(
    layers: Mapping[str, nn.Linear],
    parameters: Mapping[str, nn.Parameter],
    traces: Traces,
    clip: float,
) -> dict[str, torch.Tensor]:
    norms, longest = _norms(parameters, traces)
    odd = ~(norms < HUGE * clip) | ~(longest < HUGE)
    scale = _scale(norms, odd, clip)
    found: dict[str, torch.Tensor] = {}
    for name in layers:
        given, slope = traces[name]
        if odd.any():
            given, slope = (x.masked_fill(odd[:, None], 0.0) for x in (given, slope))
        scaled = slope * scale[:, None]
        if f"{name}.weight" in parameters:
            found[f"{name}.weight"] = scaled.T @ given
        if f"{name}.bias" in parameters:
            found[f"{name}.bias"] = scaled.sum(0)
    return found


def _norms(
    parameters: Mapping[str, nn.Parameter], traces: Traces
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lengths of the patients' gradients over all layers, and of their longest input.

    In double precision; not a number where one is not.
    """
    squares, inputs = [], []
    for name, (given, slope) in traces.items():
        behind, before = _length(slope).square(), _length(given)
        inputs.append(before)
        if f"{name}.weight" in parameters:
            squares.append(before.square() * behind)
        if f"{name}.bias" in parameters:
            squares.append(behind)
    return torch.stack(squares).sum(0).sqrt(), torch.stack(inputs).amax(0)


def _length(rows: torch.Tensor) -> torch.Tensor:
    length: torch.Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return length
