"""Table E.1-1 of PS3.15 as data: what happens to each attribute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

EDITION = "2024b with the rows added up to 2026c"
FILE = "table_e_1_1.tsv"


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute of the table.

    Attributes:
        basic: the code of the Basic Profile: ``D``, ``Z``, ``X``, ``U``, or a choice such as
            ``X/Z/D``.
        dates: the code of the option to keep dates, moved; empty where it says nothing.
        characteristics: the code of the option to keep the patient's characteristics; likewise.
        name: as the standard writes it.
    """

    basic: str
    dates: str
    characteristics: str
    name: str

    @property
    def safest(self) -> str:
        """The one code to act by: of a choice the last, for all but sequences.

        The standard asks for ``X`` unless the object's definition wants the element to be there
        (``Z``, or ``D`` where it may not be empty). The last one of a choice says no more about
        the patient, and never breaks an object. Sequences are others: most may be absent and none
        of those may be empty.
        """
        return self.basic.rpartition("/")[2]


@cache
def table() -> dict[int, Row]:
    """The rows by tag."""
    text = files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    rows = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        tag, basic, *options, name = line.split("\t")
        dates, characteristics = ("" if code == "-" else code for code in options)
        rows[int(tag, 16)] = Row(basic, dates, characteristics, name)
    return rows
