"""Sealed files: AES-256-GCM over segments, any of which can be opened by itself.

The STREAM construction of Hoang, Reyhanitabar, Rogaway, Vizár 2015, "Online
authenticated-encryption and its nonce-reuse misuse-resistance", CRYPTO (eprint 2015/189), section
7, in the form of Tink's AES-GCM-HKDF-Streaming: each file has a key of its own, HKDF-SHA256 of the
data key with a fresh salt and with what the file is as info; a segment's nonce is a random prefix,
the segment's number and whether it is the last. So no segment can be changed, moved, left out,
taken from another file or put in another's place, and a file cannot be cut short.

::

    magic 8 | salt 32 | nonce prefix 7 | segment 0 | segment 1 | ...
    segment: up to 65 536 bytes of content, and a tag of 16
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from medfed.core.errors import DataError
from medfed.core.files import Buffer

MAGIC = b"medfed\x00\x01"
SALT, PREFIX, TAG = 32, 7, 16
HEAD = len(MAGIC) + SALT + PREFIX
SEGMENT = 1 << 16
"""Bytes of content in a segment: a call costs little against them, and two fit the first cache."""


def sealed(chunks: Buffer | Iterable[Buffer], key: bytes, what: bytes) -> Iterator[bytes]:
    """Seal a file, piece by piece.

    Args:
        chunks: Its content.
        key: The data key, 32 bytes.
        what: What the file is; it opens as nothing else.
    """
    salt, prefix = secrets.token_bytes(SALT), secrets.token_bytes(PREFIX)
    yield MAGIC + salt + prefix
    cipher = _cipher(key, salt, what)
    number = 0
    waiting: Buffer = b""
    for segment in _segments(chunks):
        if number:
            yield cipher.encrypt(_nonce(prefix, number - 1, last=False), waiting, None)
        number, waiting = number + 1, segment
    yield cipher.encrypt(_nonce(prefix, max(number - 1, 0), last=True), waiting, None)


def opened(content: Buffer, key: bytes, what: bytes) -> bytes:
    """What `sealed` was given, of a sealed file that lies in memory.

    Raises:
        DataError: It was changed or cut short, or is something else.
    """
    view = memoryview(content).cast("B")
    if len(view) < HEAD + TAG or view[: len(MAGIC)] != MAGIC:
        raise _damaged("a message")
    prefix, body = bytes(view[HEAD - PREFIX : HEAD]), view[HEAD:]
    cipher = _cipher(key, bytes(view[len(MAGIC) : HEAD - PREFIX]), what)
    size = SEGMENT + TAG
    count = -(-len(body) // size)
    pieces = []
    for number in range(count):
        raw = body[number * size : (number + 1) * size]
        try:
            pieces.append(
                cipher.decrypt(_nonce(prefix, number, last=number == count - 1), raw, None)
            )
        except InvalidTag:
            raise _damaged("a message") from None
    return b"".join(pieces)


class SealedBlob:
    """A sealed file, opened where it is read; implements `medfed.core.vault.Blob`.

    Nothing of it is decrypted onto the disk. The segment read last is kept, for whoever reads on.

    Args:
        path: The file.
        key: The data key.
        what: What the file is.

    Raises:
        OSError: It cannot be opened.
        DataError: It is no sealed file, or is cut short.
    """

    def __init__(self, path: Path, key: bytes, what: bytes) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        head = os.pread(self._file, HEAD, 0)
        body = os.fstat(self._file).st_size - HEAD
        full, rest = divmod(body, SEGMENT + TAG)
        if not head.startswith(MAGIC) or body < TAG or 0 < rest < TAG:
            raise _damaged(path)
        self._count = full + (rest > 0)
        self._length = body - TAG * self._count
        self._prefix = head[-PREFIX:]
        self._cipher = _cipher(key, head[len(MAGIC) : -PREFIX], what)
        self._last: tuple[int, bytes] = (-1, b"")
        self._segment(self._count - 1)  # the end is there, and the key is the right one

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def __len__(self) -> int:
        """Bytes of content."""
        return self._length

    def read(self, start: int, stop: int) -> bytes | memoryview:
        """Bytes ``start:stop`` of the content.

        Raises:
            DataError: A segment was changed.
        """
        stop = min(stop, self._length)
        if stop <= start:
            return b""
        found = bytearray(stop - start)
        at = 0
        for number in range(start // SEGMENT, (stop - 1) // SEGMENT + 1):
            first = number * SEGMENT
            piece = self._segment(number)[max(start - first, 0) : stop - first]
            found[at : at + len(piece)] = piece
            at += len(piece)
        return memoryview(found).toreadonly()

    def _segment(self, number: int) -> bytes:
        if self._last[0] != number:
            size = SEGMENT + TAG
            raw = os.pread(self._file, size, HEAD + number * size)
            nonce = _nonce(self._prefix, number, last=number == self._count - 1)
            try:
                self._last = (number, self._cipher.decrypt(nonce, raw, None))
            except InvalidTag:
                raise _damaged(self._path) from None
        return self._last[1]


def is_sealed(path: Path) -> bool:
    """Whether a file begins as sealed ones do."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _segments(chunks: Buffer | Iterable[Buffer]) -> Iterator[Buffer]:
    """The content in segments, all but the last of them full; none where there is no content.

    Only what lies across two chunks is copied.
    """
    if isinstance(chunks, (bytes, bytearray, memoryview)):
        chunks = (chunks,)
    held = b""
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        at = min(SEGMENT - len(held), len(view)) if held else 0
        held += bytes(view[:at])
        if len(held) == SEGMENT:
            yield held
            held = b""
        while len(view) - at >= SEGMENT:
            yield view[at : at + SEGMENT]
            at += SEGMENT
        held += bytes(view[at:])
    if held:
        yield held


def _cipher(key: bytes, salt: bytes, what: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, b"medfed at rest\x00" + what).derive(key))


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


def _damaged(which: object) -> DataError:
    message = f"{which} was changed or cut short, is not sealed, or lies in another's place"
    return DataError(message, remedy="Restore it from a backup")
