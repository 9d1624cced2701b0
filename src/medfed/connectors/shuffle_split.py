"""The split ``shuffle``: a seeded shuffle that keeps the classes in balance."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medfed.core.data import Indices, SetName
from medfed.core.errors import DataError
from medfed.core.options import option
from medfed.core.split import check_shares


@dataclass(frozen=True)
class ShuffleSplit:
    """Shares of the patients at random, with every class in each set where it is large enough.

    The draw is scikit-learn's ``train_test_split``, and the rule for when to stratify is that of
    FLamby (du Terrail et al., NeurIPS 2022): with ``test = 0.34, seed = 43`` its sets come out.
    """

    test: float = option(0.2, help="Share of the patients held out for the final figures", low=0)
    valid: float = option(0.0, help="Share held out for stopping and choosing", low=0)
    seed: int | None = option(None, help="Seed of the shuffle; the study's if silent", low=0)
    stratify: bool = option(True, help="Keep the classes in balance where the source knows them")

    def __post_init__(self) -> None:
        check_shares(self.test, self.valid)

    def assign(
        self, patients: Sequence[str], strata: Sequence[Any] | None, seed: int
    ) -> Mapping[SetName, Indices]:
        """Split; see `medfed.core.data.Split`.

        Raises:
            DataError: There are too few patients for these shares.
        """
        labels = strata if self.stratify else None
        chosen = (seed if self.seed is None else self.seed) % 2**32
        everybody = np.arange(len(patients), dtype=np.int64)
        rest, test = _cut(everybody, labels, self.test, chosen)
        train, valid = _cut(rest, labels, self.valid / (1 - self.test), chosen)
        return {"train": np.sort(train), "valid": np.sort(valid), "test": np.sort(test)}


def _cut(
    rows: Indices, labels: Sequence[Any] | None, share: float, seed: int
) -> tuple[Indices, Indices]:
    from sklearn.model_selection import train_test_split

    if share == 0:
        return rows, rows[:0]
    if int(np.ceil(share * len(rows))) >= len(rows):
        message = f"{len(rows)} patients are too few to hold out a share of {share:.2g}"
        raise DataError(message, remedy="Lower test or valid in [split]")
    mine = None if labels is None else [labels[row] for row in rows]
    held_out = int(np.ceil(share * len(rows)))
    balance = mine if _can_balance(mine, min(held_out, len(rows) - held_out)) else None
    kept, out = train_test_split(rows, test_size=share, random_state=seed, stratify=balance)
    return kept, out


def _can_balance(labels: Sequence[Any] | None, smaller: int) -> bool:
    """Whether there are two classes, each of three patients, and room for all in both sets."""
    counts = Counter(labels or ())
    return 1 < len(counts) <= smaller and min(counts.values()) > 2
