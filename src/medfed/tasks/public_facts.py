"""Facts of a table that a study declares, so that no hospital needs to be asked for them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medfed.core.categories import category_key
from medfed.core.errors import Problem
from medfed.core.mechanism import Bounds
from medfed.core.query import Query
from medfed.core.registry import Part, make
from medfed.core.update import Facts

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


def unbounded(
    categorical: Sequence[str], *, standardised: bool, indicate: bool, fitted: bool
) -> Iterator[Problem]:
    """Why some input of a table lies between no declared bounds.

    Args:
        categorical: Columns used as categories.
        standardised: Whether numbers are scaled by declared ranges.
        indicate: Whether gaps are inputs too.
        fitted: Whether the scales are asked for, and not the declared ones.
    """
    if categorical:
        message = f"noise on numbers does not hide {', '.join(categorical)}"
        remedy = "List such columns under numeric, with a range, or leave them out"
        yield Problem("task.categorical", message, remedy)
    if not standardised:
        message = "noise is made for inputs that are scaled by their declared ranges"
        yield Problem("task.scaling", message, 'Write scaling = "federated"')
    if fitted:
        message = "noise is made for inputs that are scaled by their declared ranges"
        yield Problem("task.facts_epsilon", message, "Remove facts_epsilon")
    if indicate:
        message = "whether a value is missing would be learnt without noise"
        yield Problem("task.indicate_missing", message, "Remove indicate_missing")


def noised(ranges: Ranges, values: Values, epsilon: float) -> list[Query]:
    """The queries by which declared facts are refined, ε shared out between them.

    Args:
        ranges: Of numeric columns.
        values: Of categorical columns.
        epsilon: What both cost a patient together.
    """
    asked: dict[str, dict[str, Any]] = {}
    if ranges:
        asked["dp-moments"] = {"ranges": dict(ranges)}
    if values:
        asked["dp-values"] = {"values": dict(values)}
    share = epsilon / max(1, len(asked))
    return [make("query", Part(n, {**given, "epsilon": share})) for n, given in asked.items()]


def refined(known: Facts, found: Facts) -> dict[str, Any]:
    """Declared facts, in which those that were fitted with noise stand in their place."""
    moments, words = found.get("moments", {}), found.get("vocabulary", {})
    return {
        "moments": {c: {**row, **moments.get(c, {})} for c, row in known["moments"].items()},
        "vocabulary": {
            c: {**row, "fill": category_key(words.get(c, row)["fill"])}
            for c, row in known["vocabulary"].items()
        },
    }


def bounds(count: int) -> Bounds:
    """Of inputs scaled by declared ranges: the lowest usual value, and the highest."""
    return Bounds(count, -WIDTHS / 2, WIDTHS / 2)


def _is_range(pair: Any) -> bool:
    numbers = isinstance(pair, (list, tuple)) and len(pair) == 2
    plain = numbers and all(type(v) in (int, float) for v in pair)
    return plain and pair[0] < pair[1]
