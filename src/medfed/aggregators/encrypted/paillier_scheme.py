"""How updates are written in Paillier: many numbers in one plaintext, side by side.

After Zhang et al. 2020, "BatchCrypt: efficient homomorphic encryption for cross-silo federated
learning" (USENIX ATC): numbers are rounded to fixed point and laid side by side, each with room
for the sum. Here they are made positive by an offset in place of the paper's two sign bits, which
leaves a sum that is exact, and the room is that of the secure sum's words: 32 bits for what a model
learns by, two words of 64 bits for all else.

A plaintext holds 94 words of 32 bits and, above them, a one: by these a sum tells in every single
ciphertext of how many parts it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from medfed.aggregators.encrypted import paillier_keys as paillier
from medfed.aggregators.encrypted.scheme import Foreign
from medfed.aggregators.secure.adding import rounding
from medfed.aggregators.secure.fixed_point import CHUNK, Codec, Narrow, Wide
from medfed.aggregators.secure.layout import Filler, Layout, arrays_of
from medfed.core.errors import Refused
from medfed.core.update import Array, Update

PAYLOAD = 376
"""Bytes of numbers in a plaintext: with the count above them 3040 bits, of which 3070 would fit."""
COUNT = 4
WIDE_OFFSET = 2**55
"""Above every half of a wide number; 255 sites' with theirs stay within 64 bits."""
MOST = 255


@dataclass(frozen=True)
class PaillierScheme:
    """See `medfed.aggregators.encrypted.scheme.Scheme`.

    Attributes:
        reach: The largest element of an update; what lies beyond is clipped, and counted.
        sites: How many parts are summed at most.
    """

    part: ClassVar[int] = 65_536
    """Six million parameters, 50 MB."""

    reach: float
    sites: int

    @property
    def terms(self) -> list[Any]:
        """Key size, reach and number of sites."""
        return ["paillier", paillier.BITS, PAYLOAD, self.reach, self.sites]

    def make(self) -> Any:
        """Fresh keys."""
        return paillier.make()

    def with_key(self, context: Any) -> bytes:
        """Both keys."""
        return paillier.with_key(context)

    def without_key(self, context: Any) -> bytes:
        """The public key."""
        return paillier.without_key(context)

    def opened(self, blob: bytes, *, secret: bool) -> Any:
        """Keys that came from elsewhere."""
        return paillier.opened(blob, secret=secret)

    def written(self, update: Update, layout: Layout) -> list[memoryview]:
        """The narrow region, then the wide one, in pieces that fill a plaintext each."""
        raws = [memoryview(words.tobytes()) for words in self._words(update, layout)]
        return [raw[at : at + PAYLOAD] for raw in raws for at in range(0, len(raw), PAYLOAD)]

    def encrypt(self, context: Any, written: list[memoryview], which: slice) -> Iterator[bytes]:
        """The ciphertexts of some pieces."""
        for raw in written[which]:
            number = int.from_bytes(raw, "little")
            yield paillier.encrypted(context, number + (1 << 8 * PAYLOAD))

    def _words(self, update: Update, layout: Layout) -> Iterator[Array]:
        arrays, narrow = arrays_of(update), self._narrow
        words, clipped = _encoded(narrow, layout.narrow.size, layout.narrow.filler(arrays))
        yield words + np.uint32(self._offset)
        wide, _ = _encoded(Wide(), layout.wide.size, layout.wide.filler(arrays))
        count = np.empty(2, np.uint64)
        Wide().encode(lambda _, out: out.fill(clipped), count, np.empty(1))
        yield np.concatenate([wide, count]) + np.uint64(WIDE_OFFSET)

    @property
    def _narrow(self) -> Narrow:
        return Narrow(32, self.reach, self.sites)

    @property
    def _offset(self) -> int:
        """Makes every narrow word positive: the sum of so many sites' stays within 32 bits."""
        return int(self.reach / self._narrow.step) + 1

    def count(self, layout: Layout) -> int:
        """How many ciphertexts a layout takes."""
        return sum(-(-size // PAYLOAD) for size in _bytes_of(layout))

    def add(self, context: Any, pieces: Sequence[bytes]) -> bytes:
        """The ciphertext of a sum."""
        total = None
        for place, blob in enumerate(pieces):
            try:
                total = paillier.added(context, total, blob)
            except ValueError:
                raise Foreign(place) from None
        assert total is not None  # noqa: S101  # there are parts
        summed: bytes = total.serialize()
        return summed

    def decrypt(
        self, context: Any, ciphertexts: Iterator[bytes], layout: Layout, sites: int
    ) -> Array:
        """The figures of a sum: all elements, and how many were clipped."""
        first, second = _bytes_of(layout)
        narrow = self._opened(context, ciphertexts, first, sites).view(np.uint32)
        wide = self._opened(context, ciphertexts, second, sites).view(np.uint64)
        if next(ciphertexts, None) is not None:
            raise Refused("unsafe-sum", "the ciphertexts hold more than was asked for")
        found = np.empty(self.figures(layout), np.float64)
        narrow = narrow - np.uint32(sites * self._offset % 2**32)
        wide = wide - np.uint64(sites * WIDE_OFFSET)
        self._narrow.decode(narrow, found[: narrow.size])
        Wide().decode(wide, found[narrow.size :])
        return found

    def _opened(self, context: Any, ciphertexts: Iterator[bytes], size: int, sites: int) -> Array:
        raw = bytearray()
        while len(raw) < size:
            raw += self._plain(context, next(ciphertexts, b""), sites)
        return np.frombuffer(bytes(raw[:size]), np.uint8)

    def _plain(self, context: Any, blob: bytes, sites: int) -> bytes:
        try:
            plain = paillier.decrypted(context, blob).to_bytes(PAYLOAD + COUNT, "little")
        except (ValueError, OverflowError):
            plain = b""
        if int.from_bytes(plain[PAYLOAD:], "little") != sites:
            message = "the ciphertexts are not the sum of those sites' under this key"
            raise Refused("unsafe-sum", message)
        return plain[:PAYLOAD]

    def figures(self, layout: Layout) -> int:
        """One for each element, and the count of clipped ones."""
        return layout.size + 1

    def slack(self) -> float:
        """None: decryption is exact."""
        return 0.0

    def total(self, layout: Layout, figures: Array) -> Update:
        """The update that figures stand for."""
        size = layout.narrow.size
        return layout.update(figures[:size].astype(np.float32), figures[size:-1])

    def notes(self, layout: Layout, total: Update, figures: Array, sites: int) -> Mapping[str, Any]:
        """How far an element of the mean may be off, and how many were clipped."""
        return rounding(self._narrow, layout, total, sites) | {"clipped": round(figures[-1])}


def _encoded(codec: Codec, size: int, filler: Filler) -> tuple[Array, int]:
    """The words of a region, and how many elements were clipped."""
    words, room = np.empty(codec.words * size, codec.word), np.empty(CHUNK, np.float64)
    clipped = 0
    for start in range(0, size, CHUNK):
        stop = min(start + CHUNK, size)

        def fill(scale: float, out: Array, start: int = start, stop: int = stop) -> None:
            filler.fill(start, stop, scale, out)

        clipped += codec.encode(fill, words[codec.words * start : codec.words * stop], room)
    return words, clipped


def _bytes_of(layout: Layout) -> tuple[int, int]:
    """Bytes of the narrow words, and of the wide ones with the count of clipped elements."""
    return 4 * layout.narrow.size, 16 * (layout.wide.size + 1)
