"""From a table to a matrix: scaling, imputation and one-hot columns, by federated facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medfed.core.errors import DataError, RunError
from medfed.core.update import Facts
from medfed.tasks.columns import MISSING, category_keys, numbers

Scaling = Literal["federated", "local", "none"]


@dataclass(frozen=True)
class Encoder:
    """How the columns of a table become the inputs of a model; the same at every site.

    Inputs come in this order: numeric columns, one-hot groups, indicators of missing values.

    Attributes:
        numeric: Numeric columns.
        categorical: Categorical columns.
        moments: Per numeric column ``mean``, ``std``, ``fill`` and ``missing``.
        vocabulary: Per categorical column ``categories``, ``fill`` and ``missing``.
        scaling: Subtract the mean and divide by the standard deviation, or not.
        drop_first: The first category of each column has no input of its own.
        indicate_missing: One more input for each column that has gaps anywhere.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    moments: Mapping[str, Mapping[str, Any]]
    vocabulary: Mapping[str, Mapping[str, Any]]
    scaling: Scaling
    drop_first: bool
    indicate_missing: bool

    @classmethod
    def from_facts(
        cls,
        numeric: tuple[str, ...],
        categorical: tuple[str, ...],
        facts: Facts,
        *,
        scaling: Scaling,
        drop_first: bool,
        indicate_missing: bool,
    ) -> "Encoder":
        """The encoder of a study whose facts are fitted.

        Raises:
            RunError: They are not.
        """
        needs = {
            "moments": numeric if scaling != "local" or indicate_missing else (),
            "vocabulary": categorical,
        }
        for fact, columns in needs.items():
            if any(column not in facts.get(fact, {}) for column in columns):
                message = f"the federated fact {fact} was not fitted before the model was built"
                raise RunError(message, remedy="Start the run anew")
        moments, words = facts.get("moments", {}), facts.get("vocabulary", {})
        return cls(numeric, categorical, moments, words, scaling, drop_first, indicate_missing)

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's columns that it reads."""
        return self.numeric + self.categorical

    @property
    def inputs(self) -> tuple[str, ...]:
        """A name for each input of the model."""
        one_hot = [f"{c} = {value}" for c in self.categorical for value in self._values(c)]
        return (*self.numeric, *one_hot, *(f"{c} is missing" for c in self._indicated))

    @property
    def groups(self) -> dict[str, list[int]]:
        """For each column, the places of the inputs that are made of it."""
        origin = [
            *self.numeric,
            *(c for c in self.categorical for _ in self._values(c)),
            *self._indicated,
        ]
        return {c: [i for i, o in enumerate(origin) if o == c] for c in self.columns}

    def _values(self, column: str) -> Sequence[str]:
        categories: Sequence[str] = self.vocabulary[column]["categories"]
        return categories[1:] if self.drop_first else categories

    @property
    def _indicated(self) -> tuple[str, ...]:
        if not self.indicate_missing:
            return ()
        known = {**self.moments, **self.vocabulary}
        return tuple(c for c in self.columns if known[c]["missing"] > 0)

    def with_local_scaling(self, training: Any, site: str) -> "Encoder":
        """Means and deviations of this site's own training patients.

        Raises:
            DataError: A column has no value at this site, so it has no mean of its own.
        """
        values = numbers(training, self.numeric, site)
        known = ~np.isnan(values)
        empty = [c for c, n in zip(self.numeric, known.sum(axis=0), strict=True) if not n]
        if empty:
            message = f"site {site} has no value of {', '.join(empty)} in its training patients"
            raise DataError(message, remedy='Leave the column out, or write scaling = "federated"')
        means, stds = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        own = {
            c: {**self.moments.get(c, {}), "mean": float(m), "std": float(s), "fill": float(m)}
            for c, m, s in zip(self.numeric, means, stds, strict=True)
        }
        return Encoder(
            self.numeric,
            self.categorical,
            own,
            self.vocabulary,
            self.scaling,
            self.drop_first,
            self.indicate_missing,
        )

    def encode(self, frame: Any, site: str) -> NDArray[np.float32]:
        """The matrix of a table: one row per patient, one column per input."""
        values = numbers(frame, self.numeric, site)
        keys = {column: category_keys(frame[column]) for column in self.categorical}
        gaps = dict(zip(self.numeric, np.isnan(values).T, strict=True))
        gaps |= {column: found == MISSING for column, found in keys.items()}
        blocks = [self._scaled(values), *(self._one_hot(c, found) for c, found in keys.items())]
        blocks += [gaps[column][:, None] for column in self._indicated]
        return np.concatenate(blocks, axis=1, dtype=np.float32, casting="unsafe")

    def _scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = [self.moments[column] for column in self.numeric]
        filled = np.where(np.isnan(values), [row["fill"] for row in rows], values)
        if self.scaling == "none" or not rows:
            return filled
        means = np.array([row["mean"] for row in rows])
        # A column that is the same everywhere carries nothing: it becomes 0, not a division by 0.
        stds = np.array([row["std"] or 1.0 for row in rows])
        return np.asarray((filled - means) / stds, np.float64)

    def _one_hot(self, column: str, keys: NDArray[Any]) -> NDArray[np.bool_]:
        keys = np.where(keys == MISSING, self.vocabulary[column]["fill"], keys)
        hot: NDArray[np.bool_] = keys[:, None] == np.array(self._values(column), dtype=object)
        return hot
