"""Facts of a table that a study declares, so that no hospital needs to be asked for them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medfed.core.errors import Problem
from medfed.tasks.columns import category_key

Ranges = Mapping[str, Sequence[float]]
Values = Mapping[str, Sequence[str]]

WIDTHS = 4.0
"""Standard deviations in a declared range: most values lie within two of the middle."""


def declared(ranges: Ranges, values: Values, *, indicate: bool) -> dict[str, Any]:
    """The declared facts, in the form in which `medfed.tasks.facts` would fit them.

    Args:
        ranges: Lowest and highest usual value of numeric columns: the middle stands for the mean
            and for missing values, a quarter of the width for the standard deviation.
        values: Values of categorical columns; the first stands for missing ones.
        indicate: Whether any column may have gaps, since nobody may look.
    """
    gaps = 1.0 if indicate else 0.0
    return {
        "moments": {c: _moments(low, high, gaps) for c, (low, high) in ranges.items()},
        "vocabulary": {
            c: {"categories": _keys(v), "fill": _keys(v)[0], "missing": gaps}
            for c, v in values.items()
        },
    }


def _keys(values: Sequence[str]) -> list[str]:
    return [category_key(value) for value in values]


def _moments(low: float, high: float, gaps: float) -> dict[str, float]:
    middle = 0.5 * (low + high)
    return {"mean": middle, "std": (high - low) / WIDTHS, "fill": middle, "missing": gaps}


def problems(
    numeric: Sequence[str], categorical: Sequence[str], ranges: Ranges, values: Values
) -> Iterator[Problem]:
    """What is wrong with what a study declares."""
    for column, pair in ranges.items():
        where = "task.public_ranges"
        if column not in numeric:
            yield Problem(where, f"{column} is no numeric column", "List it under numeric")
        if not _is_range(pair):
            remedy = f"Write {column} = [20, 90]"
            yield Problem(where, f"{column} has no lowest and highest value", remedy)
    for column, known in values.items():
        where = "task.public_values"
        if column not in categorical:
            yield Problem(where, f"{column} is no categorical column", "List it under categorical")
        texts = isinstance(known, (list, tuple)) and all(isinstance(v, str) for v in known)
        if not texts or not known or len(set(_keys(known))) != len(known):
            remedy = f'Write {column} = ["0", "1"], each value once, as text'
            yield Problem(where, f"{column} has no list of values", remedy)


def _is_range(pair: Any) -> bool:
    numbers = isinstance(pair, (list, tuple)) and len(pair) == 2
    plain = numbers and all(type(v) in (int, float) for v in pair)
    return plain and pair[0] < pair[1]
