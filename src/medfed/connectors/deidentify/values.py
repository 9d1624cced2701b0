"""Values that say nothing, and dates that say only how far apart things were."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

DUMMY = "ANONYMIZED"
NO_URL = "http://anonymized.invalid"
TEXTS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})
NUMBERS = frozenset({"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
DUMMIES = {
    "AS": "000D",
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "IS": "0",
    "TM": "000000",
    "UR": NO_URL,
}
OLDEST_AGE = 89
"""In years; who is older counts as one group (the safe-harbour rule, 45 CFR 164.514 (b)(2))."""

_DATE = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})")
_MOMENT = re.compile(r"(\d{8})(\d*(?:\.\d+)?(?:[+-]\d{4})?)")


def dummy(vr: str) -> Any:
    """A value of a type, neither empty nor anybody's.

    Args:
        vr: the value representation, but for sequences and UIDs.
    """
    if vr in TEXTS:
        return DUMMY
    if vr in NUMBERS:
        return 0
    return DUMMIES.get(vr, b"\0\0")


def moved(vr: str, value: Any, days_earlier: int) -> Any:
    """A date or moment, moved into the past by whole days; empty where it is none.

    Whole days keep the time of day, and so the order of what happened (PS3.15, E.3.6).

    Args:
        vr: ``DA``, ``DT`` or ``TM``; times of day stay.
        value: one value, or several.
        days_earlier: by how much.
    """
    if vr == "TM":
        return value
    if not isinstance(value, (str, dt.date)) and hasattr(value, "__iter__"):
        return [_moved(vr, str(one), days_earlier) for one in value]
    return _moved(vr, str(value), days_earlier)


def grouped_age(value: Any) -> str:
    """An age in DICOM's form; those over 89 years become 90."""
    text = str(value).strip()
    if not re.fullmatch(r"\d{3}[DWMY]", text):
        return ""
    return f"{OLDEST_AGE + 1:03d}Y" if text[3] == "Y" and int(text[:3]) > OLDEST_AGE else text


def _moved(vr: str, text: str, days: int) -> str:
    text = text.strip("\0 ")
    if vr == "DT":
        found = _MOMENT.fullmatch(text)
        return _earlier(found[1], days) + found[2] if found and _earlier(found[1], days) else ""
    return _earlier(text, days)


def _earlier(text: str, days: int) -> str:
    found = _DATE.fullmatch(text)
    if not found:
        return ""
    try:
        date = dt.date(*(int(part) for part in found.groups()))
        earlier = date - dt.timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{earlier.year:04d}{earlier.month:02d}{earlier.day:02d}"
