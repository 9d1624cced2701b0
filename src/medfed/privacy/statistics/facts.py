"""Facts that a model is built on, noised: scales of numeric columns, most common values of others.

Unlike the statistics that a study asks for, they come from training patients only, for what a model
is built on must not have seen those that it is judged by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from medfed.core.errors import Problem
from medfed.core.options import option
from medfed.core.update import Array
from medfed.privacy.statistics.base import NoisyStatistic, codes, is_range, within

LEAST_SPREAD = 0.05
"""Of half a declared range: noise must not make a column look the same everywhere."""


@dataclass(frozen=True, kw_only=True)
class NoisyMoments(NoisyStatistic):
    """Mean and standard deviation of numeric columns over the training patients of all sites.

    Values are brought between the declared bounds; each patient adds to a count, a sum and a sum
    of squares of every column. The table is that of `medfed.tasks.facts.Moments`.
    """

    fact: ClassVar[str] = "moments"
    training: ClassVar[bool] = True

    ranges: Mapping[str, Any] = option(
        help="Lowest and highest value of each column, such as 0 and 120 of age"
    )

    def problems(self) -> Sequence[Problem]:
        """Ranges that are none."""
        if self.ranges and all(is_range(r) for r in self.ranges.values()):
            return []
        remedy = "Write the lowest and the highest value of each column"
        return [Problem("statistics.ranges", "are not two numbers for each column", remedy)]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, sorted: a table in JSON keeps no order."""
        return tuple(sorted(self.ranges))

    @property
    def moved(self) -> int:
        """Count, sum and squares of each column."""
        return 3 * len(self.columns)

    def contributions(self, frame: Any) -> Array:
        """For each column 1 for a value, where it lies between the bounds, and its square."""
        import pandas as pd

        parts = []
        for column in self.columns:
            found = pd.to_numeric(frame[column], errors="coerce")
            values = np.asarray(found.to_numpy(np.float64, na_value=np.nan))
            middle, reach = self._within(column)
            there = ~np.isnan(values)
            held = np.clip(values, *self.ranges[column])  # first: infinity knows no place between
            place = np.where(there, np.clip((held - middle) / reach, -1.0, 1.0), 0.0)
            parts += [there.astype(np.float64), place, place**2]
        return np.stack(parts, axis=1)

    def _within(self, column: str) -> tuple[float, float]:
        low, high = self.ranges[column]
        return (low + high) / 2, (high - low) / 2

    def table(self, figures: Array, spread: float) -> dict[str, Any]:
        """For each column mean, standard deviation, what stands for a gap, and the count."""
        rows = np.asarray(figures, np.float64).reshape(-1, 3)
        return {c: self._row(c, *row) for c, row in zip(self.columns, rows, strict=True)}

    def _row(self, column: str, count: float, total: float, squares: float) -> dict[str, float]:
        middle, reach = self._within(column)
        many = max(1.0, count)
        place = within(total / many, -1.0, 1.0)
        square = within(squares / many, place**2, 1.0)
        std = reach * max(LEAST_SPREAD, (square - place**2) ** 0.5)
        mean = middle + reach * place
        return {"mean": mean, "std": std, "fill": mean, "count": max(0.0, count)}


@dataclass(frozen=True, kw_only=True)
class NoisyValues(NoisyStatistic):
    """The most common value of categorical columns among the training patients of all sites.

    The values themselves are declared: whether any patient has one would tell of that patient.
    """

    fact: ClassVar[str] = "vocabulary"
    training: ClassVar[bool] = True

    values: Mapping[str, Any] = option(help="Values of each column, such as 0 and 1 of sex")

    def problems(self) -> Sequence[Problem]:
        """Columns without values."""
        if self.values and all(self.values.values()):
            return []
        return [Problem("statistics.values", "names no values", "Write some for each column")]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, sorted: a table in JSON keeps no order."""
        return tuple(sorted(self.values))

    @property
    def moved(self) -> int:
        """One count of each column."""
        return len(self.columns)

    def contributions(self, frame: Any) -> Array:
        """For each column a 1 at a patient's value."""
        parts = []
        for column in self.columns:
            known = self.values[column]
            parts.append(codes(frame[column], known)[:, None] == np.arange(len(known)))
        return np.concatenate(parts, axis=1).astype(np.float64)

    def table(self, figures: Array, spread: float) -> dict[str, Any]:
        """For each column the declared value that most patients have."""
        sizes = [len(self.values[column]) for column in self.columns]
        parts = np.split(np.asarray(figures), np.cumsum(sizes)[:-1])
        return {
            column: {"fill": self.values[column][int(np.argmax(counts))]}
            for column, counts in zip(self.columns, parts, strict=True)
        }
