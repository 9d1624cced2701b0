"""Model files: safetensors whose bytes are the same for the same model."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load

from medfed.core.errors import DataError
from medfed.core.files import Buffer, canonical_json
from medfed.core.no_pickles import unpickling_refused
from medfed.core.update import Array, Tensors
from medfed.core.vault import OPEN, Reader, Vault

KEY = "medfed"
"""The one metadata key; several would be written in an arbitrary order."""
DTYPES = {
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
    "bool": "BOOL",
}
"""What safetensors calls NumPy's types."""


def write_model(
    path: Path,
    tensors: Tensors,
    about: Mapping[str, Any],
    *,
    durable: bool = True,
    vault: Vault = OPEN,
) -> str:
    """Write a model file atomically.

    Args:
        path: Where; the folder must exist.
        tensors: The model.
        about: Plain data kept inside the file: study, round, facts.
        durable: Flush to the disk before the file takes its name.
        vault: How it lies there.

    Returns:
        SHA-256 of the content.
    """
    digest = hashlib.sha256()

    def hashed() -> Iterator[Buffer]:
        for piece in _pieces(tensors, {KEY: canonical_json(about).decode()}):
            digest.update(piece)
            yield piece

    vault.write(path, hashed(), durable=durable)
    return digest.hexdigest()


def _pieces(tensors: Tensors, metadata: Mapping[str, str]) -> Iterator[Buffer]:
    """A safetensors file, a piece at a time: the library would copy a large model whole.

    Tensors stand by size of their numbers, then by name, as the library has them.
    """
    plain = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    names = sorted(plain, key=lambda name: (-plain[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        value, start, end = plain[name], end, end + plain[name].nbytes
        about = {"dtype": DTYPES[value.dtype.name], "shape": value.shape}
        header[name] = {**about, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        little = plain[name].dtype.newbyteorder("<")
        yield plain[name].astype(little, copy=False).reshape(-1).view(np.uint8).data


@unpickling_refused()
def read_model(path: Path, vault: Reader = OPEN) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a model file: its tensors, and what it says about itself.

    Raises:
        DataError: Missing, damaged, or not written by medfed.
    """
    try:
        if vault.sealed:
            tensors, about = _opened(vault.read(path))
        else:
            with safe_open(path, framework="numpy") as file:
                about = (file.metadata() or {}).get(KEY)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (OSError, SafetensorError, ValueError, TypeError, LookupError) as error:
        raise DataError(f"{path} is not a readable model file: {error}") from None
    if about is None:
        remedy = "Give a run's model.safetensors"
        raise DataError(f"{path} was not written by medfed", remedy=remedy)
    try:
        return tensors, dict(json.loads(about))
    except (ValueError, TypeError):
        raise DataError(f"what {path} says about itself is damaged") from None


def _opened(blob: bytes) -> tuple[dict[str, Array], str | None]:
    """The tensors and the metadata of a file that was opened in memory."""
    tensors = load(blob)
    header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
    return tensors, header.get("__metadata__", {}).get(KEY)


def tensors_digest(tensors: Tensors) -> str:
    """SHA-256 over names, shapes, dtypes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = np.asarray(tensors[name], order="C")
        digest.update(f"{name}\x1f{value.shape}\x1f{value.dtype}\x1e".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
