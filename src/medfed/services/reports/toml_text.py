"""A study as TOML: what every site signed, in the form in which people write it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from medfed.core.study import Study
from medfed.core.study_file import LISTS


def study_toml(study: Study) -> str:
    """The study, with every option spelt out; reading it gives the same digest."""
    plan = {name: value for name, value in study.to_json().items() if name != "schema"}
    return plain_toml({k: value for k, value in plan.items() if value or k not in LISTS})


def plain_toml(plan: Mapping[str, Any]) -> str:
    """A study's plan as TOML, whether or not it makes sense: reading it says what is wrong.

    Args:
        plan: Fields, tables, and lists of tables such as ``privacy``; None stands for silence.
    """
    tables = {name: value for name, value in plan.items() if isinstance(value, Mapping)}
    lists = {name: value for name, value in plan.items() if _is_tables(value)}
    top = {k: value for k, value in plan.items() if k not in tables and k not in lists}
    blocks = [_lines(top)]
    blocks += [f"[{_key(name)}]\n{_lines(table)}" for name, table in tables.items()]
    blocks += [f"[[{_key(k)}]]\n{_lines(part)}" for k, parts in lists.items() for part in parts]
    return "\n\n".join(block.rstrip() for block in blocks) + "\n"


def _is_tables(value: Any) -> bool:
    listed = isinstance(value, (list, tuple)) and len(value) > 0
    return listed and all(isinstance(each, Mapping) for each in value)


def _lines(table: Mapping[str, Any]) -> str:
    given = {name: value for name, value in table.items() if value is not None}
    return "\n".join(f"{_key(name)} = {_value(value)}" for name, value in given.items())


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_string(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return toml_string(value)
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


def toml_string(text: str) -> str:
    """A string as TOML: JSON's escapes are TOML's, but for DEL, which TOML wants escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
