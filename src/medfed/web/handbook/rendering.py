"""A page of the docs as HTML: nothing of it can do anything, and its links lead somewhere."""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from posixpath import join, normpath

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from medfed.web.handbook.book import Book, Page
from medfed.web.handbook.plain import slug

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")

Address = Callable[[str], str]


def render(page: Page, book: Book, to_page: Address, to_picture: Address) -> Markup:
    """A page without its title.

    Args:
        page: The page.
        book: Where its links lead.
        to_page: The address of a page by its name.
        to_picture: The address of a picture by its place.
    """
    tokens = _markdown.parse(page.text)
    _anchors(tokens)
    for token in tokens:
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrs["class"] = "number"  # the policy allows no styles in a page
        _name_links(token, page, book)
        for inner in _open_links(token.children or []):
            inner.attrs["href"] = _target(str(inner.attrs["href"]), page, book, to_page)
        _lead_nowhere(token.children or [])
        for picture in (each for each in token.children or [] if each.type == "image"):
            place = _place(str(picture.attrs["src"]), page)
            picture.attrs["src"] = to_picture(place) if place in book.pictures else ""
    html = _markdown.renderer.render(tokens, _markdown.options, {})
    # Wide ones are scrolled: whoever has no mouse must be able to go there.
    html = html.replace("<pre>", '<pre tabindex="0">')
    return Markup(html)  # noqa: S704  # html is off


def _anchors(tokens: Sequence[Token]) -> None:
    seen: dict[str, int] = {}
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            words = "".join(each.content for each in inline.children or [])
            anchor = slug(words)
            seen[anchor] = seen.get(anchor, -1) + 1
            opening.attrs["id"] = f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor


def _open_links(tokens: Sequence[Token]) -> list[Token]:
    return [each for each in tokens if each.type == "link_open"]


def _name_links(token: Token, page: Page, book: Book) -> None:
    """A link without words, ``[](page.md)``, has the title of its page for them."""
    named: list[Token] = []
    for each in token.children or []:
        if named and each.type == "link_close" and named[-1].type == "link_open":
            name = _place(str(named[-1].attrs["href"]).partition("#")[0], page)
            found = book.pages.get(name.removesuffix(".md"))
            named.append(Token("text", "", 0, content=found.title if found else name))
        named.append(each)
    if token.children:
        token.children = named


def _target(href: str, page: Page, book: Book, to_page: Address) -> str:
    """Where a link leads; empty where the console has nothing there."""
    if re.match(r"https?:", href) or href.startswith("#"):
        return href
    path, _, anchor = href.partition("#")
    place = _place(path, page)
    name = place.removesuffix(".md")
    if name not in book.pages:
        return ""
    return to_page(name) + (f"#{anchor}" if anchor else "")


def _place(path: str, page: Page) -> str:
    return normpath(join(page.section, path))


def _lead_nowhere(tokens: list[Token]) -> None:
    """Links to what is not served stay words."""
    inside = False
    for token in tokens:
        lost = token.type == "link_open" and not token.attrs["href"]
        if lost or (inside and token.type == "link_close"):
            inside = lost
            token.type, token.tag, token.content = "text", "", ""
