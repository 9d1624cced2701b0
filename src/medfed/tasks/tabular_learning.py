"""What a network that says yes or no from a table is trained and judged by."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfed.core.update import Stats
from medfed.tasks.importance import permuted_stats
from medfed.tasks.metrics import score_stats

if TYPE_CHECKING:
    import torch
    from torch import nn

    from medfed.frameworks.examples import Examples, TableBatch

BATCH = 65_536
"""Rows that are scored at once."""


def _logits(module: "nn.Module", features: "torch.Tensor") -> "torch.Tensor":
    logits: torch.Tensor = module(features)
    return logits[:, 0].float()


def loss(module: "nn.Module", batch: "TableBatch") -> "torch.Tensor":
    """Binary cross-entropy of each row."""
    from torch.nn import functional

    features, labels = batch
    return functional.binary_cross_entropy_with_logits(
        _logits(module, features), labels, reduction="none"
    )


def _scored(module: "nn.Module", batches: "Sequence[TableBatch]") -> Any:
    """Logits and labels of a set, as arrays."""
    scored = [(_logits(module, features), labels) for features, labels in batches]
    return (_whole(list(parts)).cpu().numpy() for parts in zip(*scored, strict=True))


def _whole(parts: "list[torch.Tensor]") -> "torch.Tensor":
    import torch

    return parts[0] if len(parts) == 1 else torch.cat(parts)


def evaluate(module: "nn.Module", on: "Examples[TableBatch]") -> Stats:
    """What a set's figures are computed from."""
    logits, labels = _scored(module, list(on.batches(None, BATCH)))
    return score_stats(logits, labels)


def explain(
    module: "nn.Module",
    on: "Examples[TableBatch]",
    seed: int,
    groups: Mapping[str, Sequence[int]],
) -> Stats:
    """Scores after the columns of one input, or of one group, were shuffled among the rows."""
    batches = list(on.batches(None, BATCH))
    features = _whole([features for features, _ in batches])
    logits, labels = _scored(module, batches)

    def score(columns: Sequence[int], order: NDArray[np.int64]) -> NDArray[Any]:
        changed = features.clone()
        changed[:, columns] = features[order][:, columns]
        scores: NDArray[Any] = _logits(module, changed).cpu().numpy()
        return scores

    return permuted_stats(logits, labels, groups, score, seed)
