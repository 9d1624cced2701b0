"""Federated facts: what scaling, imputation and vocabularies need, from sums and counts only."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from medfed.core.data import SiteData
from medfed.core.errors import DataError
from medfed.core.options import option
from medfed.core.query import Table
from medfed.core.update import Stats, Update
from medfed.tasks.columns import MISSING, category_codes, load_training_table, numbers


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of numeric columns over the training patients of all sites.

    Two steps in float64: counts and sums give the means, then sums of squares *about those means*
    give the variances. One step with plain sums of squares would be one exchange less, and would
    lose the digits of a column whose mean is large beside its spread (a date, a laboratory value
    in small units); a fixed public origin helps only columns whose range is known beforehand.

    The table holds, per column: ``mean``, ``std`` (of the population, as StandardScaler has it),
    ``fill`` for missing values (the mean), ``count`` of values and ``missing`` ones.
    """

    fact: ClassVar[str] = "moments"

    columns: tuple[str, ...] = option(help="Numeric columns")
    means: tuple[float, ...] = option((), help="Means found by the first step; leave it out")
    counts: tuple[float, ...] = option((), help="Counts found by the first step; leave it out")
    patients: float = option(0.0, help="Patients found by the first step; leave it out", low=0)

    def local(self, data: SiteData, facts: Mapping[str, Any]) -> Update:
        """Counts and sums, or in the second step squares about the means."""
        frame = load_training_table(data, self.columns)
        values = numbers(frame, self.columns, data.site)
        if self.means:
            squares = np.nansum((values - self.means) ** 2, axis=0)
            return Update(stats={"squares": np.asarray(squares)})
        stats: Stats = {
            "count": np.asarray(np.sum(~np.isnan(values), axis=0), np.float64),
            "sum": np.asarray(np.nansum(values, axis=0)),
            "patients": np.array([float(len(values))]),
        }
        return Update(stats=stats)

    def next(self, total: Update) -> "Moments | Table":
        """The second step, or the table.

        Raises:
            DataError: A column has no value at any site.
        """
        if self.means:
            return self._table(total.stats["squares"])
        count = total.stats["count"]
        empty = [c for c, n in zip(self.columns, count, strict=True) if n <= 0]
        _complain_of_empty(empty)
        return replace(
            self,
            means=_floats(total.stats["sum"] / count),
            counts=_floats(count),
            patients=float(total.stats["patients"][0]),
        )

    def _table(self, squares: Any) -> Table:
        # Squares may be a little negative where noise was added for privacy.
        deviations = np.sqrt(np.maximum(squares / np.array(self.counts), 0.0))
        rows = zip(self.columns, self.means, _floats(deviations), self.counts, strict=True)
        return {
            column: {
                "mean": mean,
                "std": std,
                "fill": mean,
                "count": count,
                "missing": self.patients - count,
            }
            for column, mean, std, count in rows
        }


@dataclass(frozen=True)
class Vocabulary:
    """The values of categorical columns, in the same order for every site.

    What leaves a site is each value with the number of training patients who have it. A value that
    fewer than ``min_count`` patients *of the site* have never leaves it. A column with very many
    values is taken for an identifier or free text, and refused rather than sent.

    The table holds, per column: ``categories`` in sorted order, ``fill`` for missing values (the
    most common one) and ``missing`` ones.
    """

    fact: ClassVar[str] = "vocabulary"

    columns: tuple[str, ...] = option(help="Categorical columns")
    min_count: int = option(1, help="Patients of a site who must share a value", low=1)
    max_values: int = option(100, help="More values at a site are no categories", low=1)

    def local(self, data: SiteData, facts: Mapping[str, Any]) -> Update:
        """How many training patients have each value."""
        frame = load_training_table(data, self.columns)
        stats: dict[str, Any] = {}
        for column in self.columns:
            found = self._counts(frame[column], column, data.site)
            stats |= {_name(column, key): np.array([float(n)]) for key, n in found.items()}
        return Update(stats=stats)

    def _counts(self, series: Any, column: str, site: str) -> dict[str, int]:
        codes, keys = category_codes(series)
        if len(keys) > self.max_values:
            message = f'site {site}: the column "{column}" has more than {self.max_values} values'
            remedy = "List it under numeric, leave it out, or group its values"
            raise DataError(message, remedy=remedy)
        found: Counter[str] = Counter()
        for place, n in enumerate(np.bincount(codes[codes >= 0], minlength=len(keys))):
            found[keys[place]] += int(n)
        found[MISSING] += int(np.sum(codes < 0))
        return {key: n for key, n in found.items() if key == MISSING or n >= self.min_count}

    def next(self, total: Update) -> Table:
        """The table.

        Raises:
            DataError: A column has no value at any site.
        """
        counts: dict[str, dict[str, float]] = {column: {} for column in self.columns}
        for name, value in total.stats.items():
            column, key = json.loads(name)
            counts[column][key] = float(value[0])
        missing = {column: found.pop(MISSING, 0.0) for column, found in counts.items()}
        _complain_of_empty([column for column, found in counts.items() if not found])
        return {
            column: {
                "categories": sorted(found),
                "fill": max(sorted(found), key=found.__getitem__),
                "missing": missing[column],
            }
            for column, found in counts.items()
        }


def _name(column: str, key: str) -> str:
    return json.dumps([column, key])


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _complain_of_empty(columns: Sequence[str]) -> None:
    if columns:
        message = f"no training patient of any site has a value of {', '.join(columns)}"
        remedy = (
            "Leave the column out of [task]; where nobody sees single sites, a lower min_sites "
            "lets in values that fewer sites have"
        )
        raise DataError(message, remedy=remedy)
