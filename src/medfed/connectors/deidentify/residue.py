"""What identifies the patient and stands where no table expects it.

The profile goes by attribute. People type names into any field they find, so what is left is
searched for the words that identified this very patient.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from medfed.connectors.deidentify.values import DUMMY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset

IDENTIFIERS = (
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "AdmissionID",
    "PatientBirthDate",
    "StudyID",
)
SHORTEST_NAME, SHORTEST_NUMBER = 3, 4
FREE_TEXT = frozenset({"AE", "LO", "LT", "SH", "ST", "UC", "UN", "UR", "UT"})


def words_of(dataset: Dataset) -> re.Pattern[str] | None:
    """A pattern for the names and numbers that stand for people in an original object.

    Returns:
        None where the object names nobody.
    """
    words = set()
    for name in _names(dataset):
        words |= {w for w in re.split(r"[\W_]+", name) if len(w) >= SHORTEST_NAME}
    for keyword in IDENTIFIERS:
        value: Any = dataset.get(keyword)
        for one in [value] if isinstance(value, str) or value is None else value:
            text = str(one or "").strip()
            if len(text) >= SHORTEST_NUMBER:
                words.add(text)
    if not words:
        return None
    longest_first = sorted(map(re.escape, words), key=len, reverse=True)
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(longest_first)})(?![^\W_])", re.IGNORECASE)


def empty_what_tells(dataset: Dataset, words: re.Pattern[str]) -> int:
    """Empty each free text that holds one of the words.

    Returns:
        How many there were.
    """
    count = 0
    for element in dataset:
        if element.VR == "SQ":
            count += sum(empty_what_tells(item, words) for item in element.value)
        elif element.VR in FREE_TEXT and _tells(element.value, words):
            element.value = b"" if element.VR == "UN" else ""
            count += 1
    return count


def _tells(value: Any, words: re.Pattern[str]) -> bool:
    if value == DUMMY:
        return False
    if isinstance(value, bytes):
        return bool(words.search(value.decode("latin-1")))
    if isinstance(value, str) or value is None:
        return bool(value and words.search(value))
    return any(words.search(str(one)) for one in value)


def _names(dataset: Dataset) -> Iterator[str]:
    """Every name of a person, at any depth."""
    for element in dataset:
        if element.VR == "PN":
            values: Any = element.value
            several = isinstance(values, (list, tuple)) or type(values).__name__ == "MultiValue"
            yield from (str(one) for one in (values if several else [values]) if one)
        elif element.VR == "SQ":
            for item in element.value:
                yield from _names(item)
