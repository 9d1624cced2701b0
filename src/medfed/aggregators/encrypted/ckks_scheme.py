"""How updates are written in CKKS: numbers of different sizes never share a ciphertext."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, starmap
from typing import Any, ClassVar

import numpy as np

from medfed.aggregators.encrypted import context as ckks
from medfed.aggregators.encrypted.scheme import Foreign
from medfed.aggregators.secure.layout import Layout, arrays_of
from medfed.core.errors import Refused
from medfed.core.update import Array, Update


class CkksScheme:
    """See `medfed.aggregators.encrypted.scheme.Scheme`."""

    part: ClassVar[int] = 256
    """A million parameters, 67 MB."""

    @property
    def terms(self) -> list[Any]:
        """The parameters."""
        return ["ckks", "symmetric", ckks.DEGREE, *ckks.PRIMES, ckks.SCALE]

    def make(self) -> Any:
        """A fresh context."""
        return ckks.make()

    def with_key(self, context: Any) -> bytes:
        """A context for a site."""
        return ckks.with_key(context)

    def without_key(self, context: Any) -> bytes:
        """A context for the coordinator."""
        return ckks.without_keys(context)

    def opened(self, blob: bytes, *, secret: bool) -> Any:
        """A context that came from elsewhere."""
        return ckks.opened(blob, secret=secret)

    def written(self, update: Update, layout: Layout) -> "Numbers":
        """Its numbers."""
        return numbers_of(update, layout)

    def encrypt(self, context: Any, written: "Numbers", which: slice) -> Iterator[bytes]:
        """Some of the ciphertexts of all groups."""
        return encrypted(context, written, which)

    def count(self, layout: Layout) -> int:
        """How many ciphertexts a layout takes."""
        return sum(-(-size // ckks.SLOTS) for size in sizes_of(layout))

    def add(self, context: Any, pieces: Sequence[bytes]) -> bytes:
        """The ciphertext of a sum."""
        import tenseal

        total = None
        for place, blob in enumerate(pieces):
            try:
                piece = tenseal.ckks_vector_from(context, blob)
                total = piece if total is None else total.add_(piece)
            except (ValueError, RuntimeError):
                raise Foreign(place) from None
        assert total is not None  # noqa: S101  # there are parts
        summed: bytes = total.serialize()
        return summed

    def decrypt(
        self, context: Any, ciphertexts: Iterator[bytes], layout: Layout, sites: int
    ) -> Array:
        """The numbers of a sum, blurred. A one that every site added tells of how many it is."""
        counted = layout.narrow.size
        values = ckks.decrypt(context, ciphertexts, layout.size + 1)
        if not abs(values[counted] - sites) < 0.01:
            message = "the ciphertexts are not the sum of those sites' under this key"
            raise Refused("unsafe-sum", message)
        return np.delete(values, counted)

    def figures(self, layout: Layout) -> int:
        """One for each element."""
        return layout.size

    def slack(self) -> float:
        """Each site added noise of its own to what is the same number for both."""
        return 2 * ckks.ERROR

    def total(self, layout: Layout, figures: Array) -> Update:
        """The update that numbers stand for."""
        size = layout.narrow.size
        return layout.update(figures[:size].astype(np.float32), figures[size:])

    def notes(self, layout: Layout, total: Update, figures: Array, sites: int) -> Mapping[str, Any]:
        """How far an element of the mean may be off."""
        weights = [weight for weight in total.weights.values() if weight > 0]
        return {"rounding": ckks.ERROR / min(weights)} if weights else {}


@dataclass(frozen=True)
class Numbers:
    """All numbers of an update, in groups that never share a ciphertext.

    CKKS is good to so many digits of the largest number in a ciphertext: a large statistic would
    blur the model beside it.

    Attributes:
        narrow: What the model learns, and a one by which the sum tells of how many it is.
        figures: Statistics, buffers and whole numbers.
        weights: Of the groups: the means are divided by them.
    """

    narrow: Array
    figures: Array
    weights: Array


def numbers_of(update: Update, layout: Layout) -> Numbers:
    """The numbers of an update, float64; zeros where it lacks a part."""
    arrays, (first, second, _) = arrays_of(update), sizes_of(layout)
    narrow, wide = np.ones(first), np.empty(layout.wide.size)
    layout.narrow.filler(arrays).fill(0, first - 1, 1.0, narrow[:-1])
    layout.wide.filler(arrays).fill(0, wide.size, 1.0, wide)
    return Numbers(narrow, wide[:second], wide[second:])


def sizes_of(layout: Layout) -> tuple[int, int, int]:
    """How many numbers each group has. Weights come last among the parts, sorted as these are."""
    weights = sum(part.key.startswith("w:") for part in layout.parts)
    return layout.narrow.size + 1, layout.wide.size - weights, weights


def encrypted(context: Any, numbers: Numbers, which: slice) -> Iterator[bytes]:
    """Some of the ciphertexts of all groups, which lie one group after another.

    Raises:
        Refused: ``not-finite``, which a number beyond all reason is taken for too.
    """
    groups = (numbers.narrow, ckks.NARROW), (numbers.figures, ckks.LARGEST)
    pieces = [
        (values[start : start + ckks.SLOTS], largest)
        for values, largest in (*groups, (numbers.weights, ckks.LARGEST))
        for start in range(0, values.size, ckks.SLOTS)
    ]
    checked = chain.from_iterable(starmap(ckks.pieces_of, pieces[which]))
    return ckks.encrypt(context, checked, len(pieces))
