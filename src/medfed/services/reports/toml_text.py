"""A study as TOML: what every site signed, in the form in which people write it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from medfed.core.study import Study
from medfed.core.study_file import LISTS


def study_toml(study: Study) -> str:
    """The study, with every option spelt out; reading it gives the same digest."""
    plain = {name: value for name, value in study.to_json().items() if name != "schema"}
    lists = {name: plain.pop(name, []) for name in LISTS}
    tables = {name: value for name, value in plain.items() if isinstance(value, Mapping)}
    top = {name: value for name, value in plain.items() if name not in tables}
    blocks = [_lines(top)]
    blocks += [f"[{name}]\n{_lines(table)}" for name, table in tables.items()]
    blocks += [f"[[{name}]]\n{_lines(part)}" for name, parts in lists.items() for part in parts]
    return "\n\n".join(block.rstrip() for block in blocks) + "\n"


def _lines(table: Mapping[str, Any]) -> str:
    given = {name: value for name, value in table.items() if value is not None}
    return "\n".join(f"{_key(name)} = {_value(value)}" for name, value in given.items())


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _string(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return _array([_value(item) for item in value])
    return repr(value)


def _array(items: list[str]) -> str:
    line = f"[{', '.join(items)}]"
    if len(line) <= 88:
        return line
    return "[\n" + "".join(f"    {item},\n" for item in items) + "]"


def _string(text: str) -> str:
    """JSON's escapes are TOML's, but for DEL, which TOML wants escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
