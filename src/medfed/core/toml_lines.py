"""Where in a TOML text each field stands, so that a complaint can name the line.

The standard library's parser gives values without positions.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

_TOKEN = re.compile(
    r"""
      (?P<comment>\#[^\n]*)
    | (?P<string>\"{3}(?:[^\\]|\\.)*?\"{3,5} | '{3}.*?'{3,5} | "(?:[^"\\\n]|\\.)*" | '[^'\n]*')
    | (?P<bare>[A-Za-z0-9_-]+)
    | (?P<line>\n)
    | (?P<sign>\S)
    """,
    re.DOTALL | re.VERBOSE,
)


def locate(text: str) -> dict[str, int]:
    """Lines (from 1) of every table header and key, by dotted path.

    Args:
        text: TOML that the standard parser has accepted.

    Returns:
        The first line of each path. Members of an array of tables are found under their number
        too: ``privacy[1].name``.
    """
    lines: dict[str, int] = {}
    members: Counter[str] = Counter()
    table: list[str] = []
    for number, head in _statements(text):
        names = [_name(token) for token in head if token not in (".", "[", "]")]
        if head[0] == "[":
            table = names
            if head[1] == "[":
                members[_numbered(names, members, last=False)] += 1
        path = names if head[0] == "[" else [*table, *names]
        lines.setdefault(_numbered(path, members), number)
        lines.setdefault(".".join(path), number)
    return lines


def line_of(field: str, lines: Mapping[str, int]) -> int | None:
    """The line of a field, or of the nearest table that would hold it."""
    path = field
    while path:
        if path in lines:
            return lines[path]
        path = path.rpartition("[" if path.endswith("]") else ".")[0]
    return None


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each header or key with its line: the tokens up to the equals sign."""
    number, start, depth = 1, 1, 0
    head: list[str] = []
    in_value = False
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup, match.group()
        if kind == "line" and depth == 0:
            if head:
                yield start, head
            head, in_value = [], False
        elif kind == "sign" and in_value:
            depth += (piece in "[{") - (piece in "]}")
        elif kind == "sign" and piece == "=":
            in_value = True
        elif kind not in ("comment", "line") and not in_value:
            start = start if head else number
            head.append(piece)
        number += piece.count("\n")
    if head:
        yield start, head


def _numbered(path: Sequence[str], members: Mapping[str, int], *, last: bool = True) -> str:
    """The dotted path with the number of the latest member behind each array of tables."""
    whole = ""
    for i, name in enumerate(path, start=1):
        whole = f"{whole}.{name}" if whole else name
        count = members.get(whole, 0)
        if count and (last or i < len(path)):
            whole += f"[{count - 1}]"
    return whole


def _name(token: str) -> str:
    if token[0] not in "\"'":
        return token
    name: str = tomllib.loads(f"name = {token}")["name"]
    return name
