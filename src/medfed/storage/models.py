"""Model files: safetensors whose bytes are the same for the same model."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from medfed.core.errors import DataError
from medfed.core.files import canonical_json, write_atomic
from medfed.core.update import Array, Tensors

KEY = "medfed"
"""The one metadata key; several would be written in an arbitrary order."""


def write_model(
    path: Path, tensors: Tensors, about: Mapping[str, Any], *, durable: bool = True
) -> str:
    """Write a model file atomically.

    Args:
        path: Where; the folder must exist.
        tensors: The model.
        about: Plain data kept inside the file: study, round, facts.
        durable: Flush to the disk before the file takes its name.

    Returns:
        SHA-256 of the file.
    """
    plain = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    blob = save(plain, metadata={KEY: canonical_json(about).decode()})
    write_atomic(path, blob, durable=durable)
    return hashlib.sha256(blob).hexdigest()


def read_model(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a model file: its tensors, and what it says about itself.

    Raises:
        DataError: Missing, damaged, or not written by medfed.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            about = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, TypeError, LookupError) as error:
        raise DataError(f"{path} is not a readable model file: {error}") from None
    if about is None:
        remedy = "Give a run's model.safetensors"
        raise DataError(f"{path} was not written by medfed", remedy=remedy)
    try:
        return tensors, dict(json.loads(about))
    except (ValueError, TypeError):
        raise DataError(f"what {path} says about itself is damaged") from None


def tensors_digest(tensors: Tensors) -> str:
    """SHA-256 over names, shapes, dtypes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = np.asarray(tensors[name], order="C")
        digest.update(f"{name}\x1f{value.shape}\x1f{value.dtype}\x1e".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
