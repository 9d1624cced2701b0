"""Masks: streams of AES in counter mode, added to words and taken off again."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from medfed.aggregators.secure.fixed_point import CHUNK, Codec
from medfed.core.cores import cores
from medfed.core.update import Array

_PIECE = 2 * 8 * CHUNK
_BLOCK = 16
_LINE = 64
"""Bytes of a line of the cache: adding across two of them costs a quarter more."""
_ALONE = 2 * CHUNK
"""Elements for which a thread of their own is worth its start."""
_THREADS = 8


@dataclass(frozen=True)
class Stream:
    """One mask.

    Attributes:
        key: 16 bytes, for this one mask.
        sign: 1 where it is added, −1 where it is taken off.
    """

    key: bytes
    sign: int


class Reader:
    """Reads several streams on from one place, each piece once.

    Args:
        streams: What is read.
        start: The byte of each with which it begins.
    """

    def __init__(self, streams: Sequence[Stream], start: int = 0) -> None:
        self._steps = [
            (_stream_from(stream.key, start), np.add if stream.sign > 0 else np.subtract)
            for stream in streams
        ]
        room = aligned(_PIECE + _BLOCK, np.uint8)
        self._room = room.data
        self._words = {np.dtype(w): room.view(w) for w in (np.uint32, np.uint64)}
        self._zeros = memoryview(bytes(_PIECE))

    def onto(self, words: Array) -> None:
        """Add the next piece of every stream to a chunk's words, modulo the size of a word."""
        zeros, piece = self._zeros[: words.nbytes], self._words[words.dtype][: words.size]
        for next_into, apply in self._steps:
            next_into(zeros, self._room)
            apply(words, piece, out=words)


def _stream_from(key: bytes, start: int) -> Callable[[memoryview, memoryview], int]:
    """What encrypts zeros on from a byte of a stream."""
    # A counter that starts at zero is sound because no key is used for two streams.
    counter = (start // _BLOCK).to_bytes(_BLOCK, "big")
    encryptor = Cipher(algorithms.AES128(key), modes.CTR(counter)).encryptor()
    encryptor.update(bytes(start % _BLOCK))
    return encryptor.update_into


def aligned(count: int, dtype: type[np.generic]) -> Array:
    """An array with nothing in it yet, shape ``(count,)``, which begins where a line does."""
    size = count * np.dtype(dtype).itemsize
    room = np.empty(size + _LINE, np.uint8)
    begin = -room.ctypes.data % _LINE
    return room[begin : begin + size].view(dtype)


@dataclass
class Masks:
    """Several streams over the same words, one region after another."""

    streams: Sequence[Stream]
    _used: int = field(default=0, init=False)
    """Bytes of each stream that earlier regions took."""

    def write(
        self,
        codec: Codec,
        size: int,
        fill: Callable[[int, int, float, Array], None],
        out: Array,
    ) -> int:
        """Encode and mask a region, on as many cores as there are.

        Args:
            codec: How values become words.
            size: Elements of the region.
            fill: Writes elements ``start:stop``, times a number, to an array; from several threads.
            out: Where the words go, shape ``(codec.words · size,)``.

        Returns:
            How many elements were clipped.
        """
        begin, unit = self._take(codec, size)

        def stretch(first: int, last: int) -> int:
            reader, floats = Reader(self.streams, begin + unit * first), np.empty(CHUNK, np.float64)
            clipped = 0
            for start in range(first, last, CHUNK):
                stop = min(start + CHUNK, last)
                words = out[codec.words * start : codec.words * stop]
                clipped += codec.encode(partial(fill, start, stop), words, floats)
                reader.onto(words)
            return clipped

        firsts = _firsts(size)
        if len(firsts) == 1:
            return stretch(0, size)
        with ThreadPoolExecutor(len(firsts)) as pool:
            return sum(pool.map(stretch, firsts, [*firsts[1:], size]))

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
        reader = Reader(self.streams, self._take(codec, size)[0])
        for start in range(0, size, CHUNK):
            stop = min(start + CHUNK, size)
            words = total(codec.words * start, codec.words * stop)
            reader.onto(words)
            codec.decode(words, out[start:stop])

    def _take(self, codec: Codec, size: int) -> tuple[int, int]:
        """Where in the streams a region begins, and how many bytes an element takes."""
        begin, unit = self._used, codec.words * np.dtype(codec.word).itemsize
        self._used += unit * size
        return begin, unit


def _firsts(size: int) -> list[int]:
    """The elements with which threads begin, whole chunks apart."""
    threads = max(1, min(cores(), _THREADS, size // _ALONE))
    each = -(-size // (threads * CHUNK)) * CHUNK
    return list(range(0, size, each)) if size else [0]
