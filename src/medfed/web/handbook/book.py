"""The pages of the docs: in the package where it was installed, in the repository beside it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medfed.services.greenlets import apart, real_lock
from medfed.web.handbook.plain import plain

INSTALLED = Path(__file__).resolve().parent.parent / "docs"
REPOSITORY = Path(__file__).resolve().parents[4] / "docs"
SECTIONS = ("tutorials", "how-to", "reference", "explanation", "decisions")
PICTURES = {".svg": "image/svg+xml", ".png": "image/png"}
LISTED = re.compile(r"^```\{toctree\}\n(?:^:.*\n)*(?P<names>(?:.*\n)*?)```$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One page of the docs.

    Attributes:
        name: Where it is below the docs, without ``.md``: ``how-to/install``.
        title: Its heading.
        text: All of it, as Markdown that any reader shows.
    """

    name: str
    title: str
    text: str

    @property
    def section(self) -> str:
        """The folder that it is in; empty for the front page."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class Book:
    """All pages, and the pictures that they show.

    Attributes:
        pages: By name, in the order in which each section lists them.
        pictures: Files by their place below the docs.
    """

    pages: Mapping[str, Page]
    pictures: Mapping[str, Path]

    def section(self, name: str) -> list[Page]:
        """The pages of a folder but its own front page."""
        own = f"{name}/index"
        return [p for p in self.pages.values() if p.section == name and p.name != own]


_read: list[Book] = []
_reading = real_lock()


def book() -> Book:
    """The docs of this installation, read once; no page where they were left out.

    It loads every part, for the lists that are read from the code: seconds in a process that has
    loaded none, in which others are answered.
    """
    return _read[0] if _read else apart(_read_once)


def _read_once() -> Book:
    with _reading:
        if not _read:
            _read.append(read_book(INSTALLED if INSTALLED.is_dir() else REPOSITORY))
        return _read[0]


def read_book(folder: Path) -> Book:
    """Read the docs of a folder.

    Args:
        folder: What holds ``index.md`` and a folder for each of `SECTIONS`.
    """
    names = [name for section in SECTIONS for name in _ordered(folder, section)]
    pages = {
        name: _page(folder, name) for name in ["index", *names] if _file(folder, name).is_file()
    }
    found = (each for each in sorted((folder / "_static").glob("*")) if each.suffix in PICTURES)
    return Book(pages, {each.relative_to(folder).as_posix(): each for each in found})


def _ordered(folder: Path, section: str) -> list[str]:
    """A section's pages: its front page, what that lists, then the rest."""
    index = _file(folder, f"{section}/index")
    listed = LISTED.search(index.read_text("utf-8")) if index.is_file() else None
    first = ["index", *(listed["names"].split() if listed else ())]
    there = sorted(file.stem for file in (folder / section).glob("*.md"))
    return [f"{section}/{name}" for name in dict.fromkeys([*first, *there]) if name in there]


def _page(folder: Path, name: str) -> Page:
    text = plain(_file(folder, name).read_text("utf-8"), folder / name)
    title, _, rest = text.lstrip().partition("\n")
    return Page(name, title.lstrip("# ").replace("`", ""), rest)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.md"
