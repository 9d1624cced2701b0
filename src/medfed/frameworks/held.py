"""A module's tensors as arrays, which an order's are copied into and a reply's are copied from."""

import numpy as np
import torch
from torch import nn

from medfed.core.errors import Refused
from medfed.core.update import Array, Tensors


class Held:
    """A module and its tensors, parameters and buffers alike.

    Args:
        module: Already where it computes, and laid out as it computes.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.tensors: dict[str, torch.Tensor] = {
            name: value.detach() for name, value in module.state_dict().items()
        }
        # On the CPU an array and its tensor share memory: loading and reading are plain copies.
        self._arrays = {k: v.numpy() for k, v in self.tensors.items() if v.device.type == "cpu"}

    def load(self, given: Tensors) -> None:
        """Take over values.

        Raises:
            Refused: ``malformed-order`` when one is missing or does not fit.
        """
        for name, value in self.tensors.items():
            array = fitting(given, name, tuple(value.shape), "the model sent")
            if not value.is_floating_point():
                array = np.rint(array)  # a counter that was averaged over sites
            if name in self._arrays:
                np.copyto(self._arrays[name], array, casting="unsafe")
            else:
                value.copy_(torch.tensor(array))

    def read(self) -> Tensors:
        """Copies of the values.

        Raises:
            Refused: ``not-finite``.
        """
        if self._arrays:
            found = {name: array.copy(order="C") for name, array in self._arrays.items()}
        else:
            found = {name: value.cpu().numpy() for name, value in self.tensors.items()}
        for array in found.values():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise Refused("not-finite", remedy="Try a smaller learning rate")
        return found


def fitting(tensors: Tensors, name: str, shape: tuple[int, ...], what: str) -> Array:
    """One tensor of an order, checked.

    Raises:
        Refused: ``malformed-order`` when it is missing or does not fit the model.
    """
    given = tensors.get(name)
    if given is None:
        raise Refused("malformed-order", f"{what} has no tensor called {name}")
    if given.dtype.kind not in "fiub":
        raise Refused("malformed-order", f"{what} has a tensor {name} of type {given.dtype}")
    if given.shape != shape:
        sizes = f"{list(given.shape)} where this model has {list(shape)}"
        raise Refused("malformed-order", f"{what} has a tensor {name} of shape {sizes}")
    return given
