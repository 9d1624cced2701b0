"""Noised counts, sums, means and variances."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from medfed.core.errors import Problem
from medfed.core.options import option
from medfed.core.update import Array
from medfed.privacy.statistics.base import NoisyStatistic, OfNumbers, codes, within


@dataclass(frozen=True, kw_only=True)
class NoisyCount(NoisyStatistic):
    """How many patients there are, or how many have some value. A patient moves it by 1."""

    moved = 1

    column: str = option("", help="Column of a value that patients must have; silent for all")
    values: tuple[str, ...] = option((), help="Values that are counted, such as 1")

    def problems(self) -> list[Problem]:
        """Values without a column, or a column without values."""
        if bool(self.column) == bool(self.values):
            return []
        remedy = 'Write both, column = "diagnosis" and values = ["malignant"], or neither'
        return [Problem("statistics.values", "a column and its values belong together", remedy)]

    @property
    def columns(self) -> tuple[str, ...]:
        """The column, if there is one."""
        return (self.column,) if self.column else ()

    def contributions(self, frame: Any) -> Array:
        """1 for each patient who is counted."""
        if not self.column:
            return np.ones((len(frame), 1))
        return np.asarray(codes(frame[self.column], self.values) >= 0, np.float64).reshape(-1, 1)

    def table(self, figures: Array, spread: float) -> dict[str, Any]:
        """The count."""
        return {"count": max(0.0, float(figures[0])), "noise": {"count": spread}}


@dataclass(frozen=True, kw_only=True)
class NoisySum(OfNumbers):
    """The sum of a column. A patient moves it by the larger bound."""

    moved = 1

    @property
    def _largest(self) -> float:
        return max(abs(one) for one in self.bounds)

    def contributions(self, frame: Any) -> Array:
        """Each value, in units of the larger bound."""
        values = np.nan_to_num(self.values(frame), nan=0.0)
        return np.asarray(values / self._largest).reshape(-1, 1)

    def table(self, figures: Array, spread: float) -> dict[str, Any]:
        """The sum."""
        largest = self._largest
        return {"sum": float(figures[0]) * largest, "noise": {"sum": spread * largest}}


@dataclass(frozen=True, kw_only=True)
class NoisyMean(OfNumbers):
    """The mean of a column: a noised sum about the middle of the bounds, by a noised count."""

    moved = 2

    def contributions(self, frame: Any) -> Array:
        """1 for a value, and where it lies between the bounds."""
        return np.stack(self.scaled(frame), axis=1)

    def table(self, figures: Array, spread: float) -> dict[str, Any]:
        """The mean and the count."""
        count = max(1.0, float(figures[0]))
        place = within(float(figures[1]) / count, -1.0, 1.0)
        noise = {"count": spread, "mean": self.reach * spread / count * (1 + place**2) ** 0.5}
        mean = self.middle + self.reach * place
        return {"count": max(0.0, float(figures[0])), "mean": mean, "noise": noise}


@dataclass(frozen=True, kw_only=True)
class NoisyVariance(OfNumbers):
    """The variance of a column, with its mean: noised sums of values and of squares."""

    moved = 3

    def contributions(self, frame: Any) -> Array:
        """1 for a value, where it lies between the bounds, and the square of that."""
        there, place = self.scaled(frame)
        return np.stack([there, place, place**2], axis=1)

    def table(self, figures: Array, spread: float) -> dict[str, Any]:
        """Count, mean, variance (of the population) and standard deviation."""
        count = max(1.0, float(figures[0]))
        place = within(float(figures[1]) / count, -1.0, 1.0)
        square = within(float(figures[2]) / count, place**2, 1.0)
        variance = self.reach**2 * (square - place**2)
        slope = (1 + 4 * place**2 + (square - 2 * place**2) ** 2) ** 0.5
        noise = {
            "count": spread,
            "mean": self.reach * spread / count * (1 + place**2) ** 0.5,
            "variance": self.reach**2 * spread / count * slope,
        }
        return {
            "count": max(0.0, float(figures[0])),
            "mean": self.middle + self.reach * place,
            "variance": variance,
            "std": variance**0.5,
            "noise": noise,
        }
