"""Masks: streams of AES in counter mode, added to words and taken off again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from medfed.aggregators.secure.fixed_point import CHUNK, Codec
from medfed.core.update import Array

_PIECE = 2 * 8 * CHUNK
_BLOCK = 16
_LINE = 64
"""Bytes of a line of the cache: adding across two of them costs a quarter more."""


class Stream:
    """One mask, made piece by piece: each piece is given once.

    Args:
        key: 16 bytes, for this one mask.
        sign: 1 where it is added, −1 where it is taken off.
    """

    def __init__(self, key: bytes, sign: int) -> None:
        # A counter that starts at zero is sound because no key is used for two streams.
        cipher = Cipher(algorithms.AES128(key), modes.CTR(bytes(_BLOCK)))
        self.next_into = cipher.encryptor().update_into
        self.apply = np.add if sign > 0 else np.subtract


class Pad:
    """Room for a piece of a stream, with views of it made once."""

    def __init__(self) -> None:
        room = aligned(_PIECE + _BLOCK, np.uint8)
        self.room = room.data
        self._words = {np.dtype(w): room.view(w) for w in (np.uint32, np.uint64)}
        self._zeros = memoryview(bytes(_PIECE))

    def cut(self, words: Array) -> tuple[memoryview, Array]:
        """Bytes to encrypt for so many words, and where the encrypted ones are to be seen."""
        return self._zeros[: words.nbytes], self._words[words.dtype][: words.size]


def aligned(count: int, dtype: type[np.generic]) -> Array:
    """An array with nothing in it yet, shape ``(count,)``, which begins where a line does."""
    size = count * np.dtype(dtype).itemsize
    room = np.empty(size + _LINE, np.uint8)
    begin = -room.ctypes.data % _LINE
    return room[begin : begin + size].view(dtype)


@dataclass(frozen=True)
class Masks:
    """Several streams over the same words."""

    streams: Sequence[Stream]

    def write(
        self,
        codec: Codec,
        size: int,
        fill: Callable[[int, int, float, Array], None],
        out: Array,
    ) -> None:
        """Encode and mask a region.

        Args:
            codec: How values become words.
            size: Elements of the region.
            fill: Writes elements ``start:stop``, times a number, to an array.
            out: Where the words go, shape ``(codec.words · size,)``.
        """
        pad = Pad()
        for start in range(0, size, CHUNK):
            stop = min(start + CHUNK, size)
            words = out[codec.words * start : codec.words * stop]
            codec.encode(partial(fill, start, stop), words)
            self.onto(words, pad)

    def read(
        self,
        codec: Codec,
        size: int,
        total: Callable[[int, int], Array],
        out: Array,
    ) -> None:
        """Unmask and decode a region.

        Args:
            codec: How values became words.
            size: Elements of the region.
            total: Gives the summed words ``start:stop``, which may be changed.
            out: Where the values go, shape ``(size,)``.
        """
        pad = Pad()
        for start in range(0, size, CHUNK):
            stop = min(start + CHUNK, size)
            words = total(codec.words * start, codec.words * stop)
            self.onto(words, pad)
            codec.decode(words, out[start:stop])

    def onto(self, words: Array, pad: Pad) -> None:
        """Add the next piece of every stream, modulo the size of a word."""
        zeros, piece = pad.cut(words)
        for stream in self.streams:  # called so often that every name looked up is felt
            stream.next_into(zeros, pad.room)
            stream.apply(words, piece, out=words)
