"""Refuses TOML that would exhaust the parser, before the parser sees it.

The standard library's parser takes time and memory that grow with the square of a dotted key's
parts, and calls itself for each level of nesting. One pass over the text, whose tokens are those
of the parser up to its first complaint, finds both.
"""

import re

MOST_PARTS = 8
DEEPEST = 20

# Possessive throughout: no text makes it go back.
_TOKEN = re.compile(
    r"""
      (?P<comment>\#[^\n]*+)
    | (?P<name>"{3}(?:\\.?|"(?!"")|[^"\\])*+(?:"{3,5}|\Z) | '{3}(?:(?!''').)*+(?:'{3,5}|\Z)
        | "(?:\\.?|[^"\\\n])*+"? | '[^'\n]*+'? | [A-Za-z0-9_-]++)
    | (?P<space>[ \t]++)
    | (?P<dot>\.)
    | (?P<open>[\[{])
    | (?P<close>[\]}])
    | (?P<other>.)
    """,
    re.DOTALL | re.VERBOSE,
)


def complaint(text: str) -> str:
    """Why a text is not to be parsed; empty where it may be."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it holds characters that are none"
    dots = depth = 0
    for match in _TOKEN.finditer(text):
        match match.lastgroup:
            case "dot":
                dots += 1
                if dots >= MOST_PARTS:
                    return f"a key has more than {MOST_PARTS} parts"
            case "name" | "space":
                continue
            case "open":
                dots, depth = 0, depth + 1
                if depth > DEEPEST:
                    return f"brackets are nested more than {DEEPEST} deep"
            case "close":
                dots, depth = 0, max(0, depth - 1)
            case _:
                dots = 0
    return ""
