"""What all noised statistics share: bounded parts of each patient, noise, and a price."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from medfed.core.categories import category_key
from medfed.core.data import SetName, SiteData
from medfed.core.errors import DataError, PartError, Problem
from medfed.core.mechanism import Cost
from medfed.core.options import option
from medfed.core.query import Table
from medfed.core.study import Study
from medfed.core.update import Array, Update
from medfed.privacy import rules
from medfed.privacy.statistics import noise as noising


@dataclass(frozen=True, kw_only=True)
class NoisyStatistic(ABC):
    """A statistic of all patients of a cohort, in whichever set; noise is added at each hospital.

    Each patient adds a few numbers from −1 to 1 to the figures that leave. Whoever has no value
    adds nothing, and what is beyond the declared bounds counts as the bound: nothing that a single
    patient's record holds leads to an error, or to a figure that has no noise.
    """

    fact: ClassVar[str] = "statistics"
    training: ClassVar[bool] = False
    """Whether it is of training patients only."""

    epsilon: float = option(help="ε that it costs a patient", above=0)
    noise: str = option(
        "laplace", help="Distribution of the noise", choices=("laplace", "gaussian")
    )
    delta: float = option(1e-6, help="δ, for gaussian noise", above=0, high=0.1)

    def __post_init__(self) -> None:
        problems = list(self.problems())
        if problems:
            raise PartError("the statistic cannot be used as given", problems)
        if self.noise_scale > 1e9:
            message = f"{self.epsilon:g} needs noise in which nothing can be seen"
            problem = Problem("statistics.epsilon", message, "Give a larger one")
            raise PartError("the statistic cannot be used as given", [problem])

    def problems(self) -> Sequence[Problem]:
        """What is wrong with its options together."""
        return []

    @property
    @abstractmethod
    def moved(self) -> int:
        """How many figures one patient can move, each by 1 at most."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""

    @abstractmethod
    def contributions(self, frame: Any) -> Array:
        """What each patient adds, from −1 to 1: shape ``(patients, figures)``."""

    @abstractmethod
    def table(self, figures: Array, spread: float) -> dict[str, Any]:
        """The finished statistic.

        Args:
            figures: The noised sums over all sites.
            spread: Standard deviation of the noise on each of them.
        """

    @property
    def kind(self) -> noising.Kind:
        """Distribution of the noise."""
        return "laplace" if self.noise == "laplace" else "gaussian"

    @property
    def noise_scale(self) -> float:
        """Scale or standard deviation of the noise on each figure at each hospital."""
        return noising.noise_for(self.kind, self.epsilon, self.delta, self.moved)

    def cost(self) -> Cost:
        """What it costs a patient; see `medfed.core.query.PaidQuery`."""
        return Cost("patient", noising.answers(self.kind, self.noise_scale, self.moved))

    def beside(self, study: Study) -> Sequence[Problem]:
        """Patients whom the ledger could not tell from others, or who move others between sets."""
        moving = rules.by_patient(study) if self.training else []
        return [*rules.named_patients(study), *moving]

    def of(self, data: SiteData) -> Sequence[SetName]:
        """Whose records it is made of; see `medfed.core.mechanism.PaidQuery`."""
        return ("train",) if self.training else tuple(data.sets)

    def local(self, data: SiteData, facts: Mapping[str, Any]) -> Update:
        """This hospital's figures, noised."""
        parts = [self.contributions(self._frame(data, name)) for name in self.of(data)]
        figures = sum(map(noising.on_grid, parts))
        found = noising.noised(np.asarray(figures), self.kind, self.noise_scale)
        stats = {"figures": found / noising.GRID, "hospitals": np.array(1.0)}
        return Update(stats=stats)

    def _frame(self, data: SiteData, name: Any) -> Any:
        frame = data.load(name)
        absent = [column for column in self.columns if column not in frame.columns]
        if absent:
            remedy = "Correct the names under [[statistics]]; names are case-sensitive"
            raise DataError(f"site {data.site} has no column {', '.join(absent)}", remedy=remedy)
        if len(frame) != data.count(name):
            remedy = "Reduce the table to one row per patient"
            raise DataError(f"site {data.site} has not exactly one row per patient", remedy=remedy)
        return frame

    def next(self, total: Update) -> Table:
        """The finished statistic, with how far noise may have moved it."""
        spread = noising.spread(self.kind, self.noise_scale)
        over_all = spread * float(total.stats["hospitals"]) ** 0.5
        return self.table(total.stats["figures"], over_all)


@dataclass(frozen=True, kw_only=True)
class OfNumbers(NoisyStatistic):
    """A statistic of one numeric column between declared bounds."""

    column: str = option(help="The numeric column")
    bounds: tuple[float, ...] = option(
        help="Lowest and highest value, such as 0 and 120; from public knowledge, "
        "never from the data"
    )

    def problems(self) -> Sequence[Problem]:
        """Bounds that are none."""
        if is_range(self.bounds):
            return []
        remedy = "Write the lowest and the highest value: bounds = [0, 120]"
        return [Problem("statistics.bounds", "are not two numbers, the lower one first", remedy)]

    @property
    def columns(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def values(self, frame: Any) -> Array:
        """The column within its bounds, NaN where there is no number."""
        import pandas as pd

        found = pd.to_numeric(frame[self.column], errors="coerce")
        values = np.asarray(found.to_numpy(np.float64, na_value=np.nan))
        low, high = self.bounds
        return np.clip(values, low, high)

    @property
    def middle(self) -> float:
        """Halfway between the bounds."""
        return (self.bounds[0] + self.bounds[1]) / 2

    @property
    def reach(self) -> float:
        """From there to a bound."""
        return (self.bounds[1] - self.bounds[0]) / 2

    def scaled(self, frame: Any) -> tuple[Array, Array]:
        """Whether there is a value (0 or 1), and where it lies between the bounds (−1 to 1)."""
        values = self.values(frame)
        there = ~np.isnan(values)
        place = np.where(there, (values - self.middle) / self.reach, 0.0)
        return there.astype(np.float64), place


def is_range(bounds: Sequence[float]) -> bool:
    """Whether they are a lower and a higher number, a finite distance apart."""
    if len(bounds) != 2 or not all(np.isfinite(one) for one in bounds):
        return False
    return bounds[0] < bounds[1] and 0 < (bounds[1] - bounds[0]) / 2 < np.inf


def within(value: float, low: float, high: float) -> float:
    """A figure that noise may have driven beyond what is possible."""
    return float(min(max(value, low), high))


def codes(series: Any, values: Sequence[str]) -> Array:
    """The place of each entry among some values; −1 for another, or none.

    Both are compared by their keys, as a model's inputs are: 1, 1.0, " 1" and true are one value.
    """
    known = {category_key(value): place for place, value in enumerate(values)}
    found = [known.get(category_key(one), -1) for one in series.tolist()]
    return np.where(series.isna(), -1, np.array(found, np.int64))
