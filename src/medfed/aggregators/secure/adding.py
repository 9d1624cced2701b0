"""Masked parts become one: words are added as they lie in the spool, and the masks come off."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from medfed.aggregators.secure.fixed_point import Codec, Narrow, Wide
from medfed.aggregators.secure.layout import Layout, Region
from medfed.aggregators.secure.masks import Masks, Stream
from medfed.aggregators.secure.messages import GROUP
from medfed.aggregators.secure.rules import Roster
from medfed.core.aggregator import Spooled
from medfed.core.update import Array, Update


def fits(part: Spooled, roster: Roster) -> bool:
    """Whether a masked part has the words that the layout asks for."""
    codecs = _codecs(roster)
    for name, (codec, size) in codecs.items():
        full = f"{GROUP}/{name}"
        if full not in part.names() or part.shape(full) != (codec.words * size,):
            return False
        if part.chunk(full, 0, 0).dtype != codec.word:
            return False
    return True


def _codecs(roster: Roster) -> dict[str, tuple[Codec, int]]:
    """How each region of words is read, and its elements, in the order of the masks."""
    regions: tuple[tuple[str, Codec, Region], ...] = (
        ("narrow", Narrow(*roster.terms), roster.layout.narrow),
        ("wide", Wide(), roster.layout.wide),
    )
    found = {name: (codec, region.size) for name, codec, region in regions}
    return {**found, "clipped": (Wide(), 1)}


def total_of(roster: Roster, parts: Sequence[Spooled], streams: list[Stream]) -> tuple[Update, int]:
    """The sum of all parts, unmasked chunk by chunk."""
    masks, flat = Masks(streams), {}
    for name, (codec, size) in _codecs(roster).items():
        flat[name] = np.empty(size, np.float32 if name == "narrow" else np.float64)
        masks.read(codec, size, _adder(f"{GROUP}/{name}", parts, codec), flat[name])
    return roster.layout.update(flat["narrow"], flat["wide"]), round(float(flat["clipped"][0]))


def _adder(name: str, parts: Sequence[Spooled], codec: Codec) -> Callable[[int, int], Array]:
    """Adds the words of all parts, modulo their size."""
    buffer: Array = np.empty(0, codec.word)

    def total(start: int, stop: int) -> Array:
        nonlocal buffer
        if buffer.size < stop - start:
            buffer = np.empty(stop - start, codec.word)
        words = buffer[: stop - start]
        first, *others = parts
        np.copyto(words, first.chunk(name, start, stop))
        for part in others:
            words += part.chunk(name, start, stop)
        return words

    return total


def notes_of(roster: Roster, total: Update, count: int, clipped: int) -> dict[str, Any]:
    """What rounding may have done to the mean, and how much was clipped."""
    notes: dict[str, Any] = {"clipped": clipped}
    return notes | rounding(Narrow(*roster.terms), roster.layout, total, count)


def rounding(codec: Narrow, layout: Layout, total: Update, count: int) -> dict[str, Any]:
    """How far rounding may have moved an element of the mean of so many sites."""
    groups = {part.key[2:].partition("/")[0] for part in layout.narrow.parts}
    weights = [total.weights[group] for group in groups if total.weights.get(group, 0) > 0]
    return {"rounding": count * codec.step / 2 / min(weights)} if weights else {}
