"""Noised histograms, quantiles and contingency tables: each patient is in one cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medfed.core.errors import Problem
from medfed.core.options import option
from medfed.core.update import Array
from medfed.privacy.statistics.base import NoisyStatistic, OfNumbers, codes


@dataclass(frozen=True, kw_only=True)
class NoisyHistogram(OfNumbers):
    """How many patients fall into each of equal bins between the bounds."""

    moved = 1

    bins: int = option(10, help="How many bins", low=1, high=10_000)

    def contributions(self, frame: Any) -> Array:
        """1 in a patient's bin; the highest value belongs to the last one."""
        there, place = self.scaled(frame)
        at = np.minimum((place + 1) / 2 * self.bins, self.bins - 1).astype(np.int64)
        return _in_cells(np.where(there > 0, at, -1), self.bins)

    @property
    def edges(self) -> Array:
        """Where the bins begin and the last one ends, shape ``(bins + 1,)``."""
        low, high = self.bounds
        return np.linspace(low, high, self.bins + 1)

    def table(self, figures: Array, spread: float) -> dict[str, Any]:
        """Edges and counts."""
        counts = [max(0.0, float(one)) for one in figures]
        edges = [float(one) for one in self.edges]
        return {"edges": edges, "counts": counts, "noise": {"counts": spread}}


@dataclass(frozen=True, kw_only=True)
class NoisyQuantile(NoisyHistogram):
    """Quantiles of a column, read off a noised histogram. Their finest step is a bin."""

    bins: int = option(64, help="How many bins are counted", low=2, high=10_000)
    at: tuple[float, ...] = option((0.25, 0.5, 0.75), help="Which quantiles, from 0 to 1")

    def problems(self) -> Sequence[Problem]:
        """Quantiles that are none, besides."""
        found = list(super().problems())
        if not self.at or not all(0 <= one <= 1 for one in self.at):
            remedy = "Write some from 0 to 1: at = [0.25, 0.5, 0.75]"
            found.append(Problem("statistics.at", "are no quantiles", remedy))
        return found

    def table(self, figures: Array, spread: float) -> dict[str, Any]:
        """Each quantile, interpolated within its bin; how far noise may move it, in bins."""
        rising = np.concatenate([[0.0], np.cumsum(np.maximum(figures, 0.0))])
        whole = rising[-1]
        if whole <= 0:
            return {"quantiles": {}, "noise": {"counts": spread}}
        strictly = rising + np.arange(len(rising)) * 1e-9 * whole  # empty bins have no inside
        places = np.interp(np.array(self.at) * strictly[-1], strictly, self.edges)
        found = {f"{one:g}": float(place) for one, place in zip(self.at, places, strict=True)}
        width = float(self.edges[1] - self.edges[0])
        return {"quantiles": found, "noise": {"counts": spread, "width": width}}


@dataclass(frozen=True, kw_only=True)
class NoisyContingency(NoisyStatistic):
    """How many patients have each combination of two columns' values."""

    moved = 1

    rows: str = option(help="The first column")
    row_values: tuple[str, ...] = option(help="Its values, such as 0 and 1; others are not counted")
    by: str = option(help="The second column")
    by_values: tuple[str, ...] = option(help="Its values")

    def problems(self) -> Sequence[Problem]:
        """Values that are named twice, or none."""
        found = []
        for name in ("row_values", "by_values"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                message, remedy = "are none, or named twice", 'Write each once: ["0", "1"]'
                found.append(Problem(f"statistics.{name}", message, remedy))
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        """Both."""
        return (self.rows, self.by)

    def contributions(self, frame: Any) -> Array:
        """1 in a patient's cell."""
        row, by = codes(frame[self.rows], self.row_values), codes(frame[self.by], self.by_values)
        cell = np.where((row >= 0) & (by >= 0), row * len(self.by_values) + by, -1)
        return _in_cells(cell, len(self.row_values) * len(self.by_values))

    def table(self, figures: Array, spread: float) -> dict[str, Any]:
        """Counts by row and column."""
        cells = np.maximum(figures, 0.0).reshape(len(self.row_values), -1)
        counts = {
            row: {by: float(cells[i, j]) for j, by in enumerate(self.by_values)}
            for i, row in enumerate(self.row_values)
        }
        return {"counts": counts, "noise": {"counts": spread}}


def _in_cells(cells: Array, count: int) -> Array:
    """A one in each patient's cell; none for −1."""
    found = np.zeros((len(cells), count))
    some = np.flatnonzero(cells >= 0)
    found[some, cells[some]] = 1.0
    return found
