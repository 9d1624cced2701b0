"""Reading rows of a table out of what a model's first layer learned from them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
"""Inputs as the model sees them, shape (patients, inputs)."""

SMALLEST = 1e-7
"""Units whose bias moved by a smaller part of the most that any moved say nothing (float32)."""


def invert(weight: NDArray[Any], bias: NDArray[Any]) -> Rows:
    """What each unit of a fully connected first layer tells of its input, by one division.

    With z = W x + b, ∂L/∂W = (∂L/∂z) xᵀ and ∂L/∂b = ∂L/∂z, so that for one patient
    x = (∂L/∂W)ᵢ / (∂L/∂b)ᵢ for every unit i whose bias moved. Of several patients it is a mean of
    their rows, weighted by how much each moved the unit. Phong, Aono, Hayashi, Wang, Moriai:
    "Privacy-Preserving Deep Learning via Additively Homomorphic Encryption", IEEE TIFS 13, 2018,
    section 3; Geiping, Bauermeister, Dröge, Moeller: "Inverting Gradients", NeurIPS 2020
    (arXiv 2003.14053), proposition 3.1.

    Args:
        weight: A gradient, or any multiple of it such as an update, shape (units, inputs).
        bias: The same of the bias, shape (units,).

    Returns:
        Shape (units that moved, inputs), those that moved most first.
    """
    weight, bias = np.asarray(weight, np.float64), np.asarray(bias, np.float64)
    size = np.abs(bias)
    order = np.argsort(-size, kind="stable")
    moved = order[size[order] > SMALLEST * size.max(initial=0.0)]
    return weight[moved] / bias[moved, None]


def errors(guesses: Rows, rows: Rows) -> NDArray[np.float64]:
    """‖guess − row‖ / ‖row‖, pair by pair; shape (patients,).

    A row of nothing but zeros has an infinite error, unless it was guessed exactly.
    """
    distance = np.linalg.norm(guesses - rows, axis=1)
    length = np.linalg.norm(rows, axis=1)
    far = np.where(distance == 0, 0.0, np.inf)
    return np.divide(distance, length, out=far, where=length > 0)


def correlations(guesses: Rows, rows: Rows) -> NDArray[np.float64]:
    """Pearson's correlation over the inputs, pair by pair; NaN where one of the two is flat."""
    a = guesses - guesses.mean(axis=1, keepdims=True)
    b = rows - rows.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found = np.full(len(rows), np.nan)
    return np.divide((a * b).sum(axis=1), scale, out=found, where=scale > 0)


def closest(guesses: Rows, rows: Rows) -> Rows:
    """For each row the guess nearest to it: more than an attacker knows, who has no rows.

    Args:
        guesses: Shape (guesses, inputs), one or more.
        rows: Shape (patients, inputs).

    Returns:
        Shape (patients, inputs).
    """
    from scipy.spatial.distance import cdist

    at_once = max(1, 10_000_000 // len(guesses))
    parts = [rows[i : i + at_once] for i in range(0, len(rows), at_once)]
    nearest = [cdist(part, guesses).argmin(axis=1) for part in parts]
    return guesses[np.concatenate([np.zeros(0, np.int64), *nearest])]
