"""Names to parts, through entry points; what medfed brings itself enters by the same door."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from medfed.core.errors import PartError, Problem
from medfed.core.options import check, describe, did_you_mean

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "task": "medfed.tasks",
        "source": "medfed.sources",
        "split": "medfed.splits",
        "strategy": "medfed.strategies",
        "aggregator": "medfed.aggregators",
        "compression": "medfed.compressions",
        "mechanism": "medfed.mechanisms",
        "query": "medfed.queries",
    }
)
"""The kinds of part, and the entry-point group of each."""


@dataclass(frozen=True, slots=True)
class Part:
    """A registered name plus options: how a study speaks of code without holding any."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The part as plain data, ``name`` first."""
        return {"name": self.name, **self.options}


@functools.cache
def _group(kind: str) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=KINDS[kind])}


def names(kind: str) -> tuple[str, ...]:
    """The registered names of one kind, sorted."""
    return tuple(sorted(_group(kind)))


def load(kind: str, name: str) -> type:
    """The class behind a registered name.

    Raises:
        PartError: No such name, or its code cannot be imported.
    """
    point = _group(kind).get(name)
    if point is None:
        remedy = did_you_mean(name, names(kind))
        problem = Problem(kind, f'there is no {kind} called "{name}"', remedy)
        raise PartError(f'unknown {kind} "{name}"', [problem])
    try:
        return point.load()  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        message = f'the {kind} "{name}" cannot be loaded: {error}'
        raise PartError(message, remedy="Install the extra that it needs") from error


def make(kind: str, part: Part) -> Any:
    """Build a part from its name and options.

    Raises:
        PartError: Unknown name, unknown or missing option, or a value out of bounds.
    """
    cls = load(kind, part.name)
    options, problems = check(cls, part.options, kind)
    if problems:
        raise PartError(f'the {kind} "{part.name}" cannot be used as given', problems)
    return cls(**options)


def part_of(kind: str, made: Any) -> Part:
    """The name and options of a part that was built: what crosses the wire.

    Raises:
        PartError: Its class is not registered.
    """
    cls = type(made)
    wanted = f"{cls.__module__}:{cls.__qualname__}"
    for name, point in _group(kind).items():
        if point.value == wanted:
            return Part(name, {o.name: getattr(made, o.name) for o in describe(cls)})
    raise PartError(f"{wanted} is not registered as a {kind}")


def part_from_json(value: Mapping[str, Any]) -> Part:
    """Rebuild a part; lists become tuples, so that equal studies compare equal."""
    options = {
        name: tuple(option) if isinstance(option, list) else option
        for name, option in value.items()
        if name != "name"
    }
    return Part(value["name"], options)
