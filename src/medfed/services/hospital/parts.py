"""How the bytes of a file on its way lie: as one file, or sealed where the site is encrypted.

Sealed, a file is a folder of pieces, each sealed as a file of its own. A piece is never continued:
with more bytes in it, it is sealed anew, under another key, and takes the place of the old one. So
no nonce is used twice, whatever a process that was killed had written, and whatever is sent next.

How long pieces are lies sealed beside them. Without that they are from before it was written down.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from functools import partial
from typing import TYPE_CHECKING, Protocol

from medfed.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from medfed.core.vault import Blob, Reader, Vault

PIECE = 8 * 1024**2
"""Bytes of a sealed piece, which are held in memory until it is whole."""
UNSAID = 8 * 1024**2
"""Bytes of the pieces beside which no size lies: that never changes."""
SIZE = "size"
"""The file beside the pieces that says how long they are."""
KEPT_EVERY = 16 * 1024**2
PARTS, FILES, NAMES = "parts", "files", "names.json"
ENDING = ".pieces"


class Part(Protocol):
    """A file on its way, to which bytes are added.

    Attributes:
        waits: Whether what was written has to be kept before much more is taken.
    """

    waits: bool

    def room(self) -> int:
        """Bytes to take before they are kept."""

    def write(self, bit: bytes) -> None:
        """Add bytes."""

    def settle(self) -> Callable[[], int]:
        """What has the disk keep all that was written until now, and says where that ends."""

    def close(self) -> None:
        """Let go of it; what was not kept is lost."""


class OpenPart:
    """One file, as it is.

    Args:
        path: The file.
        received: Bytes of it that count; what lies beyond is cut off.
    """

    waits = False

    def __init__(self, path: Path, received: int) -> None:
        self._file = path.open("r+b", buffering=0)
        self._file.truncate(received)
        self._file.seek(received)

    def room(self) -> int:
        """See `Part.room`."""
        return KEPT_EVERY

    def write(self, bit: bytes) -> None:
        """See `Part.write`."""
        while bit:  # without a buffer, a write may take less
            bit = bit[self._file.write(bit) :]

    def settle(self) -> Callable[[], int]:
        """See `Part.settle`."""
        return partial(self._keep, self._file.tell())

    def close(self) -> None:
        """See `Part.close`."""
        self._file.close()

    def _keep(self, end: int) -> int:
        os.fsync(self._file.fileno())
        return end


class SealedPart:
    """A folder of sealed pieces.

    Args:
        folder: The folder.
        vault: What seals them.
        received: Bytes that count; what lies beyond is written over.

    Raises:
        DataError: The last piece was changed or is gone.
    """

    waits = True

    def __init__(self, folder: Path, vault: Vault, received: int) -> None:
        self._folder, self._vault = folder, vault
        self._size = _size_in(folder, vault) if received else PIECE
        self._number, rest = divmod(received, self._size)
        self._held = bytearray(_start_of(folder, vault, self._number, rest))
        self._handed = self._safe = received
        self._failed = False

    def room(self) -> int:
        """See `Part.room`."""
        return self._size - len(self._held)

    def write(self, bit: bytes) -> None:
        """See `Part.write`; never more than there is room for."""
        self._held += bit

    def settle(self) -> Callable[[], int]:
        """See `Part.settle`; a piece that is whole is handed over, and the next one begun."""
        number, held = self._number, self._held
        end = number * self._size + len(held)
        if end == self._handed:
            return lambda: self._safe
        self._handed = end
        if len(held) == self._size:
            self._number, self._held = number + 1, bytearray()
            return partial(self._keep, number, held, end)
        return partial(self._keep, number, bytes(held), end)

    def close(self) -> None:
        """See `Part.close`."""
        self._held = bytearray()

    def _keep(self, number: int, content: bytes | bytearray, end: int) -> int:
        if not self._failed:  # a piece behind one that is missing would count for nothing
            self._failed = True
            if not self._safe:
                _say_size(self._folder, self._vault, self._size)
            self._vault.write(_piece(self._folder, number), content)
            self._failed, self._safe = False, end
        return self._safe


class Pieces:
    """A file that lies in sealed pieces, to be read; implements `medfed.core.vault.Blob`.

    Args:
        folder: Their folder.
        vault: What opens them.
        length: Bytes of the whole.
    """

    def __init__(self, folder: Path, vault: Reader, length: int) -> None:
        self._folder, self._vault, self._length = folder, vault, length
        self._last: tuple[int, Blob] | None = None
        self._size = 0

    def __len__(self) -> int:
        """Bytes of the whole."""
        return self._length

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``start:stop``.

        Raises:
            OSError: A piece is not there.
            DataError: A piece was changed, or is shorter or longer than it was.
        """
        found, stop = bytearray(), min(stop, self._length)
        size = self._size = self._size or _size_in(self._folder, self._vault)
        while start < stop:
            number, begin = divmod(start, size)
            bit = self._piece(number).read(begin, min(size, begin + stop - start))
            found += bit
            start += len(bit)
        return bytes(found)

    def _piece(self, number: int) -> Blob:
        if self._last is None or self._last[0] != number:
            path = _piece(self._folder, number)
            blob = self._vault.blob(path)
            if len(blob) != min(self._size, self._length - number * self._size):
                raise DataError(f"{path} is not as long as it was", remedy="Send the file again")
            self._last = number, blob
        return self._last[1]


def folder_of(path: Path) -> Path:
    """Where the pieces of a file lie that would be ``path`` if it lay open."""
    return path.with_name(path.name + ENDING)


def seal_jobs(console: Path, vault: Vault) -> int:
    """Seal the files of all jobs of a console; how many there were that lay open."""
    return sum(seal_job(job, vault) for job in _inside(console / "jobs"))


def seal_job(job: Path, vault: Vault) -> int:
    """Seal what lies open in the folder of a job; begun again, it goes on. How many files it was.

    Args:
        job: The job's folder.
        vault: What seals them.

    Raises:
        DataError: The list of names was changed.
    """
    open_parts = [path for path in _inside(job / PARTS) if path.is_file()]
    for path in open_parts:
        _write_pieces(path, folder_of(path), vault)
        path.unlink()
    found = [path for path in sorted((job / FILES).rglob("*")) if path.is_file()]
    if found:
        _seal_named(job, found, vault)
    return len(open_parts) + len(found)


def names_in(job: Path, vault: Vault) -> dict[str, tuple[str, int]]:
    """The files of a job that lie in pieces: name and length of each, by where it lies in parts.

    Raises:
        DataError: The list was changed.
    """
    file = job / NAMES
    if not file.exists():
        return {}
    return {part: (name, length) for part, (name, length) in json.loads(vault.read(file)).items()}


def write_names(job: Path, names: Mapping[str, tuple[str, int]], vault: Vault) -> None:
    """Keep the names, which may be patients'."""
    vault.write(job / NAMES, json.dumps(names).encode())


def _seal_named(job: Path, files: list[Path], vault: Vault) -> None:
    """Seal files that lie under their names."""
    (job / PARTS).mkdir(mode=0o700, exist_ok=True)
    names = names_in(job, vault)
    kept = {name for name, _ in names.values()}  # it was stopped before it took these away
    for path in files:
        name = path.relative_to(job / FILES).as_posix()
        if name in kept:
            continue
        part = secrets.token_hex(16)
        _write_pieces(path, folder_of(job / PARTS / part), vault)
        names[part] = (name, path.stat().st_size)
    write_names(job, names, vault)
    shutil.rmtree(job / FILES)


def _write_pieces(path: Path, folder: Path, vault: Vault) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    _say_size(folder, vault, PIECE)
    with path.open("rb") as file:
        for number, piece in enumerate(iter(partial(file.read, PIECE), b"")):
            vault.write(_piece(folder, number), piece)


def _say_size(folder: Path, vault: Vault, size: int) -> None:
    vault.write(folder / SIZE, str(size).encode())


def _size_in(folder: Path, vault: Reader) -> int:
    """How long the pieces in a folder are, but for the last.

    Raises:
        DataError: What says so was changed.
    """
    file = folder / SIZE
    if not file.exists():
        return UNSAID
    return int(vault.read(file))


def _piece(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}"


def _start_of(folder: Path, vault: Vault, number: int, count: int) -> bytes | memoryview:
    """The first bytes of a piece, to be added to."""
    if not count:
        return b""
    path = _piece(folder, number)
    try:
        found = vault.blob(path).read(0, count)
    except FileNotFoundError:
        found = b""
    if len(found) < count:
        raise DataError(f"{path} is not as long as it was", remedy="Send the file again")
    return found


def _inside(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.iterdir())) if folder.is_dir() else iter(())
