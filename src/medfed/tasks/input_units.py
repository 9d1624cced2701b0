"""The units in which a study says that its numbers are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medfed.core.errors import Problem

LONGEST = 30
"""Characters of a unit: it stands beside a field of a form."""


def problems(numeric: Sequence[str], units: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the units that a study gives."""
    where = "task.units"
    for column, unit in units.items():
        if column not in numeric:
            yield Problem(where, f"{column} is no numeric column", "List it under numeric")
        if not _is_unit(unit):
            message = f"{column} has no unit that can stand in a form"
            remedy = f'Write {column} = "mm Hg", in one line of up to {LONGEST} characters'
            yield Problem(where, message, remedy)


def _is_unit(unit: Any) -> bool:
    return isinstance(unit, str) and 0 < len(unit.strip()) <= LONGEST and unit.isprintable()
