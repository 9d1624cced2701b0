"""Where in a TOML text each field stands, so that a complaint can name the line.

The standard library's parser gives values without positions.
"""

import re

_HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?")
_WORD = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"^\s*({_WORD}(?:\s*\.\s*{_WORD})*)\s*=")
_FENCE = re.compile(r'"""|' + r"'''")


def locate(text: str) -> dict[str, int]:
    """Lines (from 1) of every table header and key, by dotted path.

    Args:
        text: TOML that the standard parser has accepted.

    Returns:
        The first line of each path; array-of-tables members share their table's path.
    """
    lines: dict[str, int] = {}
    prefix = ""
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        fences = len(_FENCE.findall(line))
        if inside:
            inside = fences % 2 == 0
            continue
        inside = fences % 2 == 1
        header = _HEADER.match(line)
        if header and not _KEY.match(line):
            prefix = _plain(header.group(1))
            lines.setdefault(prefix, number)
            continue
        key = _KEY.match(line)
        if key:
            path = _plain(key.group(1))
            lines.setdefault(f"{prefix}.{path}" if prefix else path, number)
    return lines


def line_of(field: str, lines: dict[str, int]) -> int | None:
    """The line of a field, or of the nearest table that would hold it."""
    path = re.sub(r"\[\d+\]", "", field)
    while path:
        if path in lines:
            return lines[path]
        path = path.rpartition(".")[0]
    return None


def _plain(path: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in path.split("."))
