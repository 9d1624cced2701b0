"""The site's own record of what one reply contained, in a sentence and in figures."""

import math
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from medfed.core.errors import WireError
from medfed.core.files import canonical_json
from medfed.core.packing import logical
from medfed.core.update import Array, Update
from medfed.federation.keys import verify
from medfed.federation.wire import Order

SENT = {
    "query": "sums and counts for a federated statistic",
    "evaluate": "sums and histograms that score a model",
}
"""What answers hold that are no update."""


def make_receipt(
    order: Order,
    title: str,
    update: Update,
    patients: int,
    size: int,
    sha256: str,
    said: str = "",
) -> dict[str, Any]:
    """Describe a reply before it leaves.

    Args:
        order: What was asked.
        title: The study's title.
        update: What is about to leave.
        patients: Patients of this site whose records it was computed from.
        size: Bytes of the payload.
        sha256: The payload's hash.
        said: What it holds, where the aggregator says so: masked words have no norm to tell of.

    Returns:
        A receipt without its signature.
    """
    tensors = {**update.tensors, **update.stats}
    norm = None if said else _norm(update)
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "site": order.site,
        "study": order.study,
        "title": title,
        "run": order.run,
        "round": order.round,
        "purpose": order.purpose,
        "phase": order.phase,
        "patients": patients,
        "bytes": size,
        "norm": norm,
        "sha256": sha256,
        "tensors": [[name, *_form(np.asarray(value))] for name, value in tensors.items()],
        "sentence": _sentence(order, title, said or _what(order, update, norm), patients, size),
    }


def sign_receipt(receipt: dict[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """The receipt with the site's signature over its canonical JSON."""
    return {**receipt, "signature": key.sign(canonical_json(receipt)).hex()}


def verify_receipt(receipt: dict[str, Any], key: Ed25519PublicKey) -> None:
    """Check a signed receipt.

    Raises:
        WireError: It was changed or is not this site's.
    """
    try:
        body = {name: value for name, value in receipt.items() if name != "signature"}
        signature, message = bytes.fromhex(receipt["signature"]), canonical_json(body)
    except (AttributeError, KeyError, TypeError, ValueError):  # infinity has no canonical form
        raise WireError("the receipt is not signed") from None
    verify(key, signature, message, f"site {receipt.get('site')}")


def _form(value: Array) -> tuple[list[int], str]:
    return list(value.shape), _spelled(value.dtype)


@cache
def _spelled(dtype: np.dtype[Any]) -> str:
    """A type's name, which numpy puts together anew each time it is asked."""
    return str(dtype)


def _norm(update: Update) -> float:
    """The L2 norm of what the tensors mean, whatever way they are packed."""
    pieces = (piece for tensor in logical(update.tensors).values() for piece in tensor.pieces())
    return math.sqrt(sum(float(np.dot(piece, piece)) for piece in pieces))


def _what(order: Order, update: Update, norm: float | None) -> str:
    """What an update holds that is sent as it is."""
    if order.purpose == "train":
        return (
            f"a model update of {len(update.tensors)} tensors (norm {norm:.4g}) and scores of the "
            "model it received"
        )
    return SENT[order.purpose]


def _sentence(order: Order, title: str, what: str, patients: int, size: int) -> str:
    if order.purpose == "evaluate":  # an exchange of its own, which is no round
        return (
            f'Scoring of "{title}" after round {order.round - 1}: sent {what}, computed from '
            f"{patients} patients, {_bytes(size)}. No patient's record was in it."
        )
    return (
        f'Round {order.round} of "{title}": sent {what}, computed from {patients} patients, '
        f"{_bytes(size)}. No patient's record was in it."
    )


def _bytes(size: int) -> str:
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size} bytes"
