"""How a network computes: on which device, in which precision, laid out how in memory."""

import contextlib
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from medfed.core.task import Execution

_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""By the number of dimensions: images and kernels of 2D and 3D networks."""


def lay_out(module: nn.Module, execution: Execution) -> nn.Module:
    """A module, moved to the execution's device and laid out in memory as it says.

    Values stay what they are, and float32. The kernels' layout is enough: a convolution brings its
    input into the layout of its kernel and gives its output in it, so no image need be moved.

    Args:
        module: Changed in place.
        execution: Where and how.
    """
    module = module.to(torch.device(execution.device)).float()
    for parameter in module.parameters():
        if parameter.dim() in _LAST:
            last = execution.layout == "channels_last"
            form = _LAST[parameter.dim()] if last else torch.contiguous_format
            # Not `contiguous`: a kernel of one channel counts as both, and would keep its strides,
            # by which the convolution then chooses.
            parameter.data = torch.empty_like(parameter, memory_format=form).copy_(parameter.data)
    return module


def for_looking(execution: Execution) -> Execution:
    """The same, laid out as a pass without gradients is quickest.

    Where bfloat16 is multiplied in hardware, voxel by voxel: group normalisation, whose backward
    pass is slow in that layout, costs nothing more forwards (docs/decisions/0020).
    """
    return (
        replace(execution, layout="channels_last") if execution.precision == "bf16" else execution
    )


def autocast(execution: Execution) -> contextlib.AbstractContextManager[Any]:
    """Where a forward pass computes in the execution's precision."""
    if execution.precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(execution.device).type, dtype=torch.bfloat16)


def repeatable(execution: Execution) -> contextlib.AbstractContextManager[Any]:
    """Where a GPU gives the same bits for the same work."""
    if torch.device(execution.device).type != "cuda":
        return contextlib.nullcontext()
    flags: contextlib.AbstractContextManager[Any] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags
