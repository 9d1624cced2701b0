"""What is summed, in which order: names, shapes and types; the numbers themselves are masked.

Two regions follow each other. *Narrow* holds the float32 tensors that a model learns by (one word
each). *Wide* holds all else: weights of groups, statistics, buffers, whole numbers (two words of 64
bits each, which keep the digits of a float64).
"""

import math
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from medfed.core.errors import WireError
from medfed.core.update import BUFFERS, Array, Update, odd_ones

MOST = 2**31
"""Elements that a layout may have."""
LONGEST = 4096
"""Bytes that a key may have."""
KINDS = ("t:", "w:", "s:")
NUMBERS = {
    np.dtype(kind).name for kind in ("f2", "f4", "f8", *(f"{s}{b}" for s in "iu" for b in "1248"))
}


@dataclass(frozen=True, slots=True)
class Part:
    """One array of an update: ``t:group/name``, ``w:group`` or ``s:name``."""

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Its elements."""
        return math.prod(self.shape)

    @property
    def narrow(self) -> bool:
        """Whether one word an element is enough."""
        learns = self.key.startswith("t:") and not self.key.startswith(f"t:{BUFFERS}/")
        return learns and self.dtype == np.float32


@dataclass(frozen=True)
class Layout:
    """The parts of a sum, sorted by key."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, update: Update) -> "Layout":
        """The layout of one unpacked update."""
        return cls(tuple(Part(k, a.shape, a.dtype) for k, a in sorted(arrays_of(update).items())))

    @classmethod
    def union(cls, many: Iterable["Layout"]) -> "Layout":
        """The parts of all of them; one that a site lacks is zero there."""
        found: dict[str, Part] = {}
        for part in (part for layout in many for part in layout.parts):
            other = found.get(part.key, part)
            found[part.key] = Part(part.key, other.shape, np.result_type(part.dtype, other.dtype))
        return cls(tuple(found[key] for key in sorted(found)))

    @classmethod
    def from_json(cls, value: Any) -> "Layout":
        """Read a layout that came from outside.

        Raises:
            WireError: It is none.
        """
        try:
            parts = tuple(_part(*entry) for entry in value)
        except (TypeError, ValueError):
            raise WireError("the layout of a secure sum cannot be read") from None
        keys = [part.key for part in parts]
        layout = cls(parts)
        if keys != sorted(set(keys)) or layout.size > MOST:
            raise WireError("the layout of a secure sum cannot be used")
        return layout

    def to_json(self) -> list[Any]:
        """As plain data."""
        return [[part.key, list(part.shape), part.dtype.name] for part in self.parts]

    def only(self, keys: Container[str]) -> "Layout":
        """The parts of some keys."""
        return Layout(tuple(part for part in self.parts if part.key in keys))

    def clashes(self, other: "Layout") -> bool:
        """Whether a part of both has not the same shape in both."""
        shapes = {part.key: part.shape for part in self.parts}
        return any(shapes.get(part.key, part.shape) != part.shape for part in other.parts)

    @property
    def size(self) -> int:
        """All elements."""
        return sum(part.size for part in self.parts)

    @cached_property
    def narrow(self) -> "Region":
        """The parts of one word an element."""
        return Region(tuple(part for part in self.parts if part.narrow))

    @cached_property
    def wide(self) -> "Region":
        """The parts of two words an element."""
        return Region(tuple(part for part in self.parts if not part.narrow))

    def update(self, narrow: Array, wide: Array) -> Update:
        """The update whose regions are these: float32 ``(narrow,)`` and float64 ``(wide,)``."""
        sorts: dict[str, dict[str, Array]] = {"t": {}, "w": {}, "s": {}}
        for part, array in self.narrow.arrays(narrow):
            sorts["t"][part.key[2:]] = array
        for part, array in self.wide.arrays(wide):
            value = np.rint(array) if part.dtype.kind in "iu" else array
            sorts[part.key[0]][part.key[2:]] = np.asarray(value, part.dtype)
        weights = {name: float(array) for name, array in sorts["w"].items()}
        return Update(sorts["t"], weights, sorts["s"])


@dataclass(frozen=True)
class Region:
    """Parts one after another."""

    parts: tuple[Part, ...]

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each part begins, and where the last one ends."""
        return tuple(int(n) for n in np.cumsum([0, *(part.size for part in self.parts)]))

    @property
    def size(self) -> int:
        """All elements."""
        return self.starts[-1]

    def arrays(self, flat: Array) -> Iterator[tuple[Part, Array]]:
        """Each part as a view of all elements, shape ``(size,)``."""
        for part, start in zip(self.parts, self.starts, strict=False):
            yield part, flat[start : start + part.size].reshape(part.shape)

    def filler(self, arrays: Mapping[str, Array]) -> "Filler":
        """Reads the region out of a site's arrays."""
        return Filler(self, arrays)


class Filler:
    """The elements of a region out of many arrays, without a copy of them all."""

    def __init__(self, region: Region, arrays: Mapping[str, Array]) -> None:
        self._region = region
        self._flat = [arrays[p.key].reshape(-1) if p.key in arrays else None for p in region.parts]

    def fill(self, start: int, stop: int, scale: float, out: Array) -> None:
        """Write elements ``start:stop``, times ``scale``, to ``out``, shape ``(stop - start,)``."""
        starts = self._region.starts
        at = int(np.searchsorted(starts, start, side="right")) - 1
        done = 0
        while done < out.size:
            first = start + done - starts[at]
            count = min(starts[at + 1], stop) - start - done
            piece, flat = out[done : done + count], self._flat[at]
            if flat is None:
                piece[:] = 0
            else:
                np.copyto(piece, flat[first : first + count])  # quicker than on the way
                np.multiply(piece, scale, out=piece)
            done, at = done + count, at + 1


def arrays_of(update: Update) -> dict[str, Array]:
    """All numbers of an unpacked update, by key."""
    return {
        **{f"t:{name}": np.asarray(a) for name, a in update.tensors.items()},
        **{f"w:{name}": np.asarray(w, np.float64) for name, w in update.weights.items()},
        **{f"s:{name}": np.asarray(a) for name, a in update.stats.items()},
    }


def misfits(layouts: Mapping[str, Layout]) -> dict[str, str]:
    """Sites whose parts have not the shape that most sites give them, and what is odd."""
    nothing = np.zeros((), np.uint8)
    return odd_ones(
        {
            site: {part.key: np.broadcast_to(nothing, part.shape) for part in layout.parts}
            for site, layout in layouts.items()
        }
    )


def _part(key: Any, shape: Any, dtype: Any) -> Part:
    if not isinstance(key, str) or key[:2] not in KINDS or dtype not in NUMBERS:
        raise ValueError(key)
    if len(key.encode()) > LONGEST:  # also fails for what is no text
        raise ValueError(key[:80])
    if len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(key)
    # An empty axis must not hide others that no array can have.
    if math.prod(max(n, 1) for n in shape) > MOST or (key.startswith("w:") and shape):
        raise ValueError(key)
    return Part(key, tuple(shape), np.dtype(dtype))
