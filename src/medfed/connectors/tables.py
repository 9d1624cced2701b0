"""A table of one site as a source: rows of one patient stay together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medfed.core.conditions import MISSING, OPERATORS, PRESENT, Condition
from medfed.core.errors import DataError, StudyError


@dataclass(frozen=True, eq=False)
class Table:
    """One site's table.

    Attributes:
        frame: The records; the index says which patient a row belongs to.
        labels: What to stratify splits by, one for each row; a patient counts by its first row.
    """

    frame: pd.DataFrame
    labels: Sequence[Any] | None = None

    def patients(self) -> Sequence[str]:
        """Identifiers of the patients, in the order in which they first appear."""
        return [str(patient) for patient in self.frame.index.unique()]

    def strata(self) -> Sequence[Any] | None:
        """One label per patient, as text; None without labels."""
        if self.labels is None:
            return None
        first = ~self.frame.index.duplicated()
        labels = np.asarray(self.labels, dtype=object)[first]
        return ["" if pd.isna(label) else str(label) for label in labels]

    def load(self, patients: Sequence[str]) -> pd.DataFrame:
        """All rows of some patients, in the order asked for."""
        rows = self.frame.groupby(level=0, sort=False).indices
        try:
            chosen = [rows[patient] for patient in patients]
        except KeyError:
            message = "the data of this site changed while they were in use: a patient is gone"
            raise DataError(message, remedy="Start the run again") from None
        positions = np.concatenate(chosen) if chosen else np.zeros(0, dtype=np.int64)
        return self.frame.iloc[positions]

    def select(self, conditions: Sequence[str]) -> "Table":
        """Only the rows for which all conditions hold; see `matching`."""
        keep = matching(self.frame, conditions)
        labels = None if self.labels is None else np.asarray(self.labels, dtype=object)[keep]
        return Table(self.frame[keep], labels if labels is None else list(labels))


def matching(frame: pd.DataFrame, conditions: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows meet all conditions; a missing value meets none except ``is missing``.

    Args:
        frame: A table.
        conditions: See `medfed.core.conditions.Condition.parse`.

    Raises:
        StudyError: A condition cannot be read.
        DataError: A column is absent, or its values cannot be compared so.
    """
    keep = np.ones(len(frame), dtype=np.bool_)
    for text in conditions:
        keep &= _holds(frame, Condition.parse(text))
    return keep


def strata_by(frame: pd.DataFrame, rule: str) -> Sequence[Any] | None:
    """Labels for stratifying: the values of a column, or whether a condition holds.

    Args:
        frame: A table.
        rule: A column's name, a condition such as ``num > 0``, or nothing.
    """
    if not rule:
        return None
    if rule in frame.columns:
        return list(frame[rule])
    try:
        return list(matching(frame, [rule]))
    except StudyError:
        raise no_column(rule, frame) from None


def no_column(name: str, frame: pd.DataFrame) -> DataError:
    """The complaint that a table lacks a column."""
    known = ", ".join(map(str, frame.columns))
    return DataError(f'the table has no column "{name}"', remedy=f"Its columns are: {known}")


def _holds(frame: pd.DataFrame, condition: Condition) -> NDArray[np.bool_]:
    if condition.column not in frame.columns:
        raise no_column(condition.column, frame)
    values = frame[condition.column]
    present = values.notna().to_numpy(dtype=np.bool_)
    if condition.how in (MISSING, PRESENT):
        return present if condition.how == PRESENT else ~present
    numeric = pd.api.types.is_numeric_dtype(values.dtype)
    if numeric != isinstance(condition.value, float) and present.any():
        holds, asked = ("numbers", "text") if numeric else ("text", "a number")
        message = f'column "{condition.column}" holds {holds}, the condition compares with {asked}'
        remedy = "Change the condition in [cohort]"
        if not numeric:  # one word among numbers makes a column of text
            remedy += ", or correct the values of the column that are no numbers"
        raise DataError(message, remedy=remedy)
    result = np.zeros(len(frame), dtype=np.bool_)
    compare = OPERATORS[condition.how]
    result[present] = compare(values[present].to_numpy(), condition.value)
    return result
