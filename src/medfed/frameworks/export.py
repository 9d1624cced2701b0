"""Models for other programs."""

import io
from pathlib import Path

import torch

from medfed.core.files import write_atomic
from medfed.core.update import Tensors


def write_pth(path: Path, tensors: Tensors) -> None:
    """Write tensors as a state_dict that ``torch.load(path, weights_only=True)`` reads."""
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(value.copy()) for name, value in tensors.items()}, buffer)
    write_atomic(path, buffer.getbuffer())
