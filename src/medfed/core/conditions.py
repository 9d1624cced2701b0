"""Conditions on columns, as a study writes them: ``age >= 40``, ``sex = "F"``, ``chol is missing``.

The grammar is small on purpose: a column, a comparison and one value. Nothing is ever evaluated as
code, so a condition from another hospital can do no more than compare.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from medfed.core.errors import Problem, StudyError

COMPARISONS = (">=", "<=", "!=", "=", ">", "<")
MISSING = "is missing"
PRESENT = "is not missing"
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}

_NAME = r"(?:`(?P<quoted>[^`]+)`|(?P<plain>[^<>=!`\"']+?))"
_COMPARE = re.compile(rf"\s*{_NAME}\s*(?P<how>>=|<=|!=|==|=|>|<)\s*(?P<value>.+?)\s*")
_PRESENCE = re.compile(rf"\s*{_NAME}\s+is\s+(?P<negated>not\s+)?missing\s*")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TEXT = re.compile(r"\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s<>=!\"'`]+)")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        column: The column it looks at.
        how: One of ``COMPARISONS``, ``MISSING`` or ``PRESENT``.
        value: What to compare with; None for the last two.
    """

    column: str
    how: str
    value: float | str | None = None

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read a condition.

        Args:
            text: ``COLUMN >= NUMBER`` (or ``<=``, ``>``, ``<``, ``=``, ``!=``),
                ``COLUMN = "text"``, ``COLUMN is missing`` or ``COLUMN is not missing``; a column
                whose name holds one of these signs stands in backticks.

        Raises:
            StudyError: It is none of these.
        """
        found = _PRESENCE.fullmatch(text)
        if found:
            return cls(_column(found), PRESENT if found["negated"] else MISSING)
        found = _COMPARE.fullmatch(text)
        value = _value(found["value"]) if found else None
        if found is None or value is None:
            remedy = 'Write a column, a comparison and a value, such as "age >= 40"'
            problem = Problem("cohort.where", f"{text!r} is not a condition", remedy)
            raise StudyError("the cohort cannot be selected", [problem])
        return cls(_column(found), found["how"].replace("==", "="), value)


def impossible(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of conditions that nobody can meet together, whatever the table holds.

    Args:
        texts: Conditions that `Condition.parse` takes.
    """
    return [
        (one, other)
        for one, other in combinations(texts, 2)
        if _exclude(Condition.parse(one), Condition.parse(other))
    ]


def _exclude(one: Condition, other: Condition) -> bool:
    if one.column != other.column:
        return False
    if MISSING in (one.how, other.how):  # a missing value meets no other condition
        return one.how != other.how
    if PRESENT in (one.how, other.how):
        return False
    if isinstance(one.value, str) != isinstance(other.value, str):
        return True  # a column holds numbers or text
    if "=" in (one.how, other.how):
        fixed, free = (one, other) if one.how == "=" else (other, one)
        return not OPERATORS[free.how](fixed.value, free.value)
    return _apart(one, other) or _apart(other, one)


def _apart(above: Condition, below: Condition) -> bool:
    """Whether what is above one bound cannot be below the other."""
    if ">" not in above.how or "<" not in below.how:
        return False
    touching = (above.how, below.how) == (">=", "<=")
    return bool(OPERATORS["<" if touching else "<="](below.value, above.value))


def _column(found: re.Match[str]) -> str:
    return (found["quoted"] or found["plain"]).strip()


def _value(text: str) -> float | str | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    return next(part for part in found.groups() if part is not None)
