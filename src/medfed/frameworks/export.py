"""Models for other programs."""

import io
import pickle
import warnings
from pathlib import Path

import numpy as np
import torch

from medfed.core.errors import DataError
from medfed.core.files import write_atomic
from medfed.core.no_pickles import unpickling_refused
from medfed.core.update import Array, Tensors


def write_pth(path: Path, tensors: Tensors) -> None:
    """Write tensors as a state_dict that ``torch.load(path, weights_only=True)`` reads."""
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(value.copy()) for name, value in tensors.items()}, buffer)
    write_atomic(path, buffer.getbuffer())


@unpickling_refused()
def read_pth(path: Path) -> dict[str, Array]:
    """Read a state_dict; nothing in the file is run (``weights_only=True``).

    Raises:
        DataError: It is no such file, or holds other things than tensors.
    """
    try:
        with warnings.catch_warnings():  # torch speaks of what it then refuses
            warnings.simplefilter("ignore", UserWarning)
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError):
        remedy = "Give a state_dict, as `medfed model export` writes it"
        raise DataError(f"{path} is no file of plain tensors", remedy=remedy) from None
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    ):
        remedy = "Give a state_dict, as `medfed model export` writes it"
        raise DataError(f"{path} holds other things than tensors", remedy=remedy)
    return {name: np.asarray(value.detach().float().numpy()) for name, value in found.items()}
