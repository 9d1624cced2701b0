"""Looking for words in the docs."""

import re
from dataclasses import dataclass

from markupsafe import Markup, escape

from medfed.web.handbook.book import Book, Page

LONGEST = 100
"""Characters of a question."""
MOST = 20
AROUND = 90
"""Characters that an excerpt shows on each side."""
MARKUP = re.compile(r"[`*|#>]+|\]\([^)]*\)|[\[\]]|:?-{3,}:?")


@dataclass(frozen=True)
class Hit:
    """A page that holds all words.

    Attributes:
        page: The page.
        excerpt: What stands around the longest of them, with each marked.
    """

    page: Page
    excerpt: Markup


def search(book: Book, asked: str) -> list[Hit]:
    """Pages that hold all words of a question, those that are about it first.

    Args:
        book: Where to look.
        asked: Words in any order; the beginning of a word is enough.
    """
    words = asked[:LONGEST].lower().split()
    if not words:
        return []
    pattern = re.compile("|".join(rf"\b{re.escape(each)}" for each in words), re.IGNORECASE)
    scored = ((_score(page, words), page) for page in book.pages.values())
    found = sorted(((s, p) for s, p in scored if s), key=lambda pair: -pair[0])
    return [Hit(page, _excerpt(page, words, pattern)) for _, page in found[:MOST]]


def _score(page: Page, words: list[str]) -> float:
    """How much a page is about the words; 0 where one is missing."""
    title, text = page.title.lower(), page.text.lower()
    heads = "\n".join(re.findall(r"^#+ .*$", text, re.MULTILINE))
    total = 0.0
    for word in words:
        inside = rf"\b{re.escape(word)}"
        many = len(re.findall(inside, text))
        named = len(re.findall(inside, title))
        if not many and not named:
            return 0.0
        total += 20 * named + 5 * len(re.findall(inside, heads)) + min(many, 10)
    return total / (4 if page.section == "decisions" else 1)


def _excerpt(page: Page, words: list[str], pattern: re.Pattern[str]) -> Markup:
    text = " ".join(MARKUP.sub(" ", page.text).split())
    longest = max(words, key=len)
    first = re.search(rf"\b{re.escape(longest)}", text, re.IGNORECASE)
    middle = first.start() if first else 0
    start, stop = max(0, middle - AROUND), middle + 2 * AROUND
    start = text.rfind(" ", 0, start + 1) + 1
    shown = text[start:stop].rpartition(" ")[0] if stop < len(text) else text[start:]
    marked = Markup("")
    at = 0
    for each in pattern.finditer(shown):
        marked += escape(shown[at : each.start()]) + Markup("<mark>{}</mark>").format(each[0])
        at = each.end()
    marked += escape(shown[at:])
    before, after = ("… " if start else ""), (" …" if stop < len(text) else "")
    return Markup("{}{}{}").format(before, marked, after)
