"""The guideline that a model's results are read with: what it is called, and where it stands."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from medfed.core.errors import Problem

LONGEST_TITLE, LONGEST_URL = 200, 500
"""Characters."""


@dataclass(frozen=True, slots=True)
class Guideline:
    """A published guideline, linked to and never copied.

    Attributes:
        title: What it is called.
        url: The address of its page.
    """

    title: str
    url: str

    def to_json(self) -> dict[str, str]:
        """As plain data."""
        return asdict(self)

    def problems(self) -> list[Problem]:
        """What is wrong with it, by field."""
        found = []
        if not self.title.strip() or len(self.title) > LONGEST_TITLE or _odd(self.title):
            remedy = f"Give its name in one line, {LONGEST_TITLE} characters at most"
            found.append(Problem("guideline.title", "is no title of a guideline", remedy))
        if not is_page(self.url):
            remedy = f'Write it as "https://…", {LONGEST_URL} characters at most'
            found.append(Problem("guideline.url", "is no address of a page", remedy))
        return found


def is_page(url: str) -> bool:
    """Whether a link to it is safe to show: https, a host, nothing that hides where it goes."""
    try:
        parts = urlsplit(url)
        named = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
    return named and not _odd(url) and " " not in url and len(url) <= LONGEST_URL


def guideline_of(about: Mapping[str, Any]) -> Guideline | None:
    """The guideline that a model's file names; None where it names none that can be linked to.

    The file may come from anywhere: what is no title and no safe address counts as nothing.
    """
    given = about.get("guideline")
    if not isinstance(given, Mapping):
        return None
    named = Guideline(str(given.get("title", "")), str(given.get("url", "")))
    return None if named.problems() else named


def _odd(text: str) -> bool:
    return not text.isprintable()
