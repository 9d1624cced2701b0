"""Conditions on columns, as a study writes them: ``age >= 40``, ``sex = "F"``, ``chol is missing``.

The grammar is small on purpose: a column, a comparison and one value. Nothing is ever evaluated as
code, so a condition from another hospital can do no more than compare.
"""

import re
from dataclasses import dataclass

from medfed.core.errors import Problem, StudyError

COMPARISONS = (">=", "<=", "!=", "=", ">", "<")
MISSING = "is missing"
PRESENT = "is not missing"

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


def _column(found: re.Match[str]) -> str:
    return (found["quoted"] or found["plain"]).strip()


def _value(text: str) -> float | str | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    return next(part for part in found.groups() if part is not None)
