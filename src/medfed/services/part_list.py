"""Everything a study can be made of, as plain data: for ``medfed parts``, API and wizard."""

from collections.abc import Mapping, Sequence
from typing import Any

from medfed.core import registry
from medfed.core.errors import PartError
from medfed.core.options import Option, describe
from medfed.core.study_file import study_fields

INTERNAL = frozenset({"member", "pooled"})
"""Sources and splits that a comparison makes for itself; no person writes them."""


def offered(kind: str, name: str) -> bool:
    """Whether a person may write it into a study; of queries those that are noised and paid."""
    return name not in INTERNAL and (kind != "query" or hasattr(registry.load(kind, name), "cost"))


def summary(part: type) -> str:
    """The first line of a part's documentation, without its marks of code: people read it."""
    return (part.__doc__ or "").strip().split("\n")[0].replace("`", "")


def option_json(option: Option) -> dict[str, Any]:
    """An option as plain data."""
    return {
        "name": option.name,
        "type": option.type_name,
        "form": option.form,
        "required": option.required,
        "default": None if option.required else option.default,
        "help": option.help,
        "choices": list(option.choices),
        "low": option.low,
        "high": option.high,
        "above": option.above,
    }


def part_json(kind: str, name: str) -> dict[str, Any]:
    """A part as plain data.

    Raises:
        PartError: There is none of this name, or it cannot be loaded.
    """
    part = registry.load(kind, name)
    return {"summary": summary(part), "options": [option_json(each) for each in describe(part)]}


def parts_json(kinds: Sequence[str] = tuple(registry.KINDS)) -> dict[str, dict[str, Any]]:
    """All parts that can be used here, by kind and name; what needs a missing extra is left out."""
    found: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        members = found.setdefault(kind, {})
        for name in registry.names(kind):
            try:
                members[name] = part_json(kind, name)
            except PartError:  # a package is missing, which `medfed parts` tells
                continue
    return found


def fields_json() -> Mapping[str, list[dict[str, Any]]]:
    """The fields of a study that belong to no part, by table; outside any under ``""``."""
    return {table: [option_json(o) for o in options] for table, options in study_fields().items()}
