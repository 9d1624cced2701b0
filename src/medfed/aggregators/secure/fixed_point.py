"""Numbers as whole multiples of a step, so that sums are exact and can be masked.

Narrow words are multiples of ``step = sites · reach / 2^(bits − 1)`` (a little more): the sum of
``sites`` values, each within ±reach, stays inside the modulus ``2^bits``. Each value is rounded
once, by half a step at most; the sum of the rounded values is exact.

Wide numbers take two words of 64 bits: ``x = a · 2^10 + b · 2^−40`` with ``|b| ≤ 2^49``. Values up
to 2^65 keep every digit of a float64 down to 2^−40, and 256 sites cannot overflow either word.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medfed.aggregators.secure.rules import MOST_SITES
from medfed.core.errors import Refused
from medfed.core.update import Array

CHUNK = 1 << 17
"""Elements encoded at a time. Words, floats and masks of a chunk are near the second cache; threads
have the interpreter in turns between two pieces, so smaller ones are slower."""
COARSE, FINE = 2.0**10, 2.0**-40
WIDEST = 2.0**65

Fill = Callable[[float, Array], None]
"""Writes values, times a number, to an array, as many as it holds."""


@dataclass(frozen=True)
class Narrow:
    """Codec of one word an element.

    Attributes:
        bits: Of a word: 32 or 64.
        reach: The largest value; what lies beyond is clipped, and counted.
        sites: How many values are summed at most.
    """

    bits: int
    reach: float
    sites: int

    @property
    def word(self) -> type[np.unsignedinteger]:
        """The type of a word."""
        return np.uint32 if self.bits == 32 else np.uint64

    @property
    def words(self) -> int:
        """Words an element."""
        return 1

    @property
    def step(self) -> float:
        """What one unit stands for."""
        return step_of(self.bits, self.reach, self.sites)

    def encode(self, fill: Fill, out: Array, room: Array) -> int:
        """Write the words of as many values as ``out`` has room for, shape ``(count,)``.

        Args:
            fill: Where the values come from.
            out: Where the words go.
            room: Numbers to work in, float64, at least as many.

        Returns:
            How many were clipped.

        Raises:
            Refused: ``not-finite``.
        """
        floats, clipped = room[: out.size], 0
        fill(1.0 / self.step, floats)
        peak, most = max(float(floats.max()), -float(floats.min())), self.reach / self.step
        if not np.isfinite(peak):
            raise Refused("not-finite")
        if peak > most:
            clipped = int(np.count_nonzero(np.abs(floats) > most))
            np.clip(floats, -most, most, out=floats)
        np.rint(floats, out=floats)
        signed = out.view(np.int32 if self.bits == 32 else np.int64)
        np.copyto(signed, floats, casting="unsafe")
        return clipped

    def decode(self, words: Array, out: Array) -> None:
        """Write the values of summed words, shape ``(count,)``."""
        signed = words.view(np.int32 if self.bits == 32 else np.int64)
        np.multiply(signed, self.step, out=out, casting="unsafe")


@dataclass(frozen=True)
class Wide:
    """Codec of two words an element."""

    word = np.uint64
    words = 2

    def encode(self, fill: Fill, out: Array, room: Array) -> int:
        """Write the words of half as many values as ``out`` has words, shape ``(2 · count,)``.

        See `Narrow.encode`; nothing is clipped.

        Raises:
            Refused: ``not-finite``, which a number beyond all reason is taken for too.
        """
        floats = room[: out.size // 2]
        fill(1.0, floats)
        if not np.all(np.abs(floats) <= WIDEST):  # also false for NaN
            raise Refused("not-finite")
        signed = out.view(np.int64).reshape(-1, 2)
        coarse = np.rint(floats / COARSE)
        signed[:, 0] = coarse
        signed[:, 1] = np.rint((floats - coarse * COARSE) / FINE)
        return 0

    def decode(self, words: Array, out: Array) -> None:
        """Write the values of summed words, half as many as there are words."""
        signed = words.view(np.int64).reshape(-1, 2)
        np.multiply(signed[:, 0], COARSE, out=out)
        out += signed[:, 1] * FINE


Codec = Narrow | Wide


def step_of(bits: int, reach: float, sites: int) -> float:
    """The step at which so many values within ±reach cannot overflow a word.

    Raises:
        ValueError: So many sites cannot be summed.
    """
    if not 1 <= sites <= MOST_SITES:
        raise ValueError(f"{sites} sites cannot be summed")
    # Rounding may add half a step to each value, and a float64 at 2^63 is good to 2^10 only: the
    # room for both is taken off the modulus.
    return sites * reach / (2.0 ** (bits - 1) * (1.0 - 2.0**-40) - sites)
