"""What the halves of a secure conversation say to each other: a table in JSON, and arrays."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from medfed.core.aggregator import Spooled
from medfed.core.errors import WireError
from medfed.core.files import canonical_json
from medfed.core.update import Array, Update

GROUP = "secure"
TABLE = f"{GROUP}/message"


def message(table: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> Update:
    """An update that carries a table (bytes as `coded`) and arrays."""
    tensors = {TABLE: np.frombuffer(canonical_json(table), np.uint8)}
    tensors |= {f"{GROUP}/{name}": array for name, array in (arrays or {}).items()}
    return Update(tensors, {GROUP: 1.0})


def table_of(received: Update) -> dict[str, Any]:
    """The table of a message.

    Raises:
        WireError: There is none.
    """
    return _read(received.tensors.get(TABLE))


def table_in(spooled: Spooled) -> dict[str, Any]:
    """The table of a spooled message.

    Raises:
        WireError: There is none.
    """
    if TABLE not in spooled.names() or len(spooled.shape(TABLE)) != 1:
        raise WireError(f"site {spooled.site} sent no message")
    return _read(spooled.chunk(TABLE, 0, spooled.shape(TABLE)[0]))


def coded(raw: bytes) -> str:
    """Bytes as text."""
    return raw.hex()


def decoded(table: Mapping[str, Any], name: str, size: int | None = None) -> bytes:
    """The bytes of one entry.

    Raises:
        WireError: Absent, not hexadecimal or of another length.
    """
    try:
        raw = bytes.fromhex(table[name])
    except (KeyError, TypeError, ValueError):
        raise WireError(f"{name[:40]!r} of a secure sum cannot be read") from None
    if size is not None and len(raw) != size:
        raise WireError(f"{name[:40]!r} of a secure sum has a wrong length")
    return raw


def inner(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The table of one entry.

    Raises:
        WireError: Absent, or no table.
    """
    found = table.get(name)
    if not isinstance(found, dict):
        raise WireError(f"{name[:40]!r} of a secure sum cannot be read")
    return found


def _read(raw: Array | None) -> dict[str, Any]:
    if raw is None or raw.dtype != np.uint8:
        raise WireError("the message of a secure sum is missing")
    try:
        table = json.loads(raw.tobytes())
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise WireError("the message of a secure sum cannot be read")
    return table
