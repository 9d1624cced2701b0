"""What Sphinx alone understands, turned into Markdown that any reader shows."""

import re
from pathlib import Path

from medfed.web.handbook.lists import LISTS, MARK

BLOCK = re.compile(
    r"^```\{(?P<what>[a-z-]+)\} *(?P<given>.*)\n(?P<inner>(?:.*\n)*?)```$", re.MULTILINE
)
COLONS = re.compile(
    r"^(?P<colons>:{3,})\{\w+\} *(?P<title>.*)\n(?P<inner>(?:.*\n)*?)(?P=colons)$", re.MULTILINE
)
TERM = re.compile(r"^(?P<term>[^\n:].*)\n: +(?P<text>(?:.+\n?)+)", re.MULTILINE)
SKIPPED = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,})[^\n`]*\n(?:.*\n)*?(?P=indent)(?P=ticks)$"
    r"|^ *<!--(?:.|\n)*?-->[ \t]*\n?",
    re.MULTILINE,
)
"""An example, or else a comment."""
LABEL = re.compile(r"^\((\w[\w-]*)\)=\n## (.*)$", re.MULTILINE)
ELSEWHERE = {
    "commands": "> `medfed --help` prints all commands, and `--help` after each what it takes.\n",
}


def plain(text: str, page: Path) -> str:
    """A page without directives: lists from the code are put in, comments are left out.

    Args:
        text: The page as Sphinx reads it.
        page: Where it lies; files that it shows are told relative to that.
    """
    text = MARK.sub(lambda found: _list(found["what"]), text)
    text = BLOCK.sub(lambda found: _block(found, page), text)
    text = _labels(COLONS.sub(_box, text))
    return _outside_fences(text)


def _list(what: str) -> str:
    return ELSEWHERE[what] if what in ELSEWHERE else LISTS[what]()


def _block(found: re.Match[str], page: Path) -> str:
    what, given = found["what"], found["given"]
    if what == "toctree":
        return ""  # the console lists the pages by itself
    if what == "literalinclude":
        file = page.parent / given
        return f"```\n{file.read_text('utf-8')}```" if file.is_file() else f"> See `{given[6:]}`."
    inner = found["inner"].strip()
    if what == "eval-rst":
        names = re.findall(r"^\.\. auto\w+:: (\S+)", inner, re.MULTILINE)
        return "\n".join(f"- `help({name})` in Python" for name in names)
    return f"> {inner}".replace("\n", "\n> ")


def _box(found: re.Match[str]) -> str:
    return f"> **{found['title']}**\n>\n> " + found["inner"].rstrip().replace("\n", "\n> ")


def _outside_fences(text: str) -> str:
    """Without comments, which may hold examples, and with lists of terms as plain lists."""
    kept = SKIPPED.sub(lambda found: found[0] if found["ticks"] else "", text)
    done, at = [], 0
    for fence in SKIPPED.finditer(kept):
        done += [TERM.sub(_term, kept[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*done, TERM.sub(_term, kept[at:])])


def slug(heading: str) -> str:
    """The anchor of a heading, as Sphinx and GitHub make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _labels(text: str) -> str:
    """Links to a heading's label, as links to the heading itself."""
    for label, heading in LABEL.findall(text):
        text = text.replace(f"](#{label})", f"](#{slug(heading)})")
    return LABEL.sub(r"## \2", text)


def _term(found: re.Match[str]) -> str:
    return f"- **{found['term']}**: " + found["text"].strip().replace("\n", " ") + "\n"
