"""Private files of the folders whose vaults this process has opened, wherever they are read from.

Readers of scans and tables are given paths. Those of an encrypted folder are read through its
vault: a table's bytes in memory, a scan from a copy in a folder that lies in memory too, for its
readers take files apart by themselves. The copy is gone when the scan has been read; that of a
process that was killed goes when the next one opens a folder.
"""

import errno
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO

from medfed.core.errors import DataError
from medfed.core.files import Buffer
from medfed.core.memory_folders import MEMORY, NoMemoryError, in_memory, sweep
from medfed.core.vault import OPEN, Blob, Reader

PIECE = 1 << 20
"""Bytes of a file that are held at a time."""
_VAULTS: dict[Path, Reader] = {}
_STRICT: set[Path] = set()
"""Folders of files that are sealed without exception."""


def remember(folder: Path, vault: Reader, *, strict: bool = False) -> None:
    """Have private files below a folder be read through its vault from now on.

    Args:
        folder: The folder.
        vault: Its vault.
        strict: Whether all files in it are ours, so that one that lies open was put there by
            somebody else, and is not read.
    """
    if vault.sealed:
        _VAULTS[folder.resolve()] = vault
        if strict:
            _STRICT.add(folder.resolve())
        sweep()


@contextmanager
def lent(folder: Path, vault: Reader) -> Iterator[None]:
    """Have files below a folder be read through a vault for a while."""
    _VAULTS[folder.resolve()] = vault
    try:
        yield
    finally:
        del _VAULTS[folder.resolve()]


def _seals(path: Path) -> bool:
    """Whether a file lies sealed.

    Raises:
        DataError: It lies open in a folder where each file is sealed.
    """
    if vault_over(path).seals(path):
        return True
    above = (path.parent.resolve() / path.name).parents
    if _STRICT.intersection(above) and path.is_file():
        message = f"{path.name} lies open in a folder where all is sealed: it was put there"
        raise DataError(message, remedy="Find out by whom; have the model asked again")
    return False


def vault_over(path: Path) -> Reader:
    """The vault of the nearest folder above a path; files as they are where there is none."""
    if not _VAULTS:
        return OPEN
    whole = path.parent.resolve() / path.name
    found = (above for above in (whole, *whole.parents) if above in _VAULTS)
    return _VAULTS.get(next(found, Path()), OPEN)


def content(path: Path) -> bytes:
    """The bytes of a file, opened where it is sealed.

    Raises:
        OSError: It cannot be read.
        DataError: It was changed.
    """
    vault = vault_over(path)
    return vault.read(path) if _seals(path) else path.read_bytes()


def size(path: Path) -> int:
    """Bytes of content of a file.

    Raises:
        OSError: It cannot be read.
        DataError: It was changed.
    """
    return len(vault_over(path).blob(path)) if _seals(path) else path.stat().st_size


def stretch(path: Path, start: int, count: int) -> Buffer:
    """At most ``count`` bytes of a file's content, from ``start``.

    Raises:
        OSError: It cannot be read.
        DataError: It was changed.
    """
    if _seals(path):
        return vault_over(path).blob(path).read(start, start + count)
    with path.open("rb") as file:
        file.seek(start)
        return file.read(count)


def sealed(path: Path) -> bool:
    """Whether a file lies sealed; False where it is not there, or cannot be read."""
    try:
        return _seals(path)
    except OSError:
        return False


def sha256(path: Path) -> str:
    """The digest of a file's content, which is never held whole.

    Raises:
        OSError: It cannot be read.
        DataError: It was changed.
    """
    if not _seals(path):
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for piece in _pieces(vault_over(path).blob(path)):
        digest.update(piece)
    return digest.hexdigest()


def text(path: Path, encoding: str) -> TextIO:
    """A text file, its line ends as they are, opened where it is sealed.

    Raises:
        OSError: It cannot be read.
        DataError: It was changed.
        UnicodeDecodeError: It is no such text; where it is not sealed, when it is read.
    """
    if not _seals(path):
        return path.open(encoding=encoding, newline="")
    return io.StringIO(content(path).decode(encoding), newline="")


def binary(path: Path) -> Path | io.BytesIO:
    """What a reader can open: the path, or the content of a file that is sealed.

    Raises:
        OSError: It cannot be read.
        DataError: It was changed, or put there open.
    """
    return io.BytesIO(content(path)) if _seals(path) else path


def seekable(path: Path) -> Path | IO[bytes]:
    """What a reader that jumps about can open: the path, or a sealed file as one that is open.

    Raises:
        OSError: It cannot be read.
        DataError: It was changed, or put there open.
    """
    if not _seals(path):
        return path
    return io.BufferedReader(_BlobFile(vault_over(path).blob(path)), 1 << 16)


class _BlobFile(io.RawIOBase):
    """A `Blob` as a file to be read."""

    def __init__(self, blob: Blob) -> None:
        super().__init__()
        self._blob, self._at = blob, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere."""
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._blob)}[whence]
        if begin + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: Buffer) -> int:  # type: ignore[override]  # as wide as is used
        """Some of the bytes that come next; one that was changed is an error of the disk."""
        try:
            piece = self._blob.read(self._at, self._at + len(buffer))
        except DataError as error:
            raise OSError(errno.EIO, error.message) from error
        memoryview(buffer)[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def _beside_nothing(_path: Path) -> Iterable[str]:
    return ()


@contextmanager
def readable(
    path: Path, beside: Callable[[Path], Iterable[str]] = _beside_nothing
) -> Iterator[Path]:
    """A scan as its readers can open it: where it lies, or a copy in memory of one that is sealed.

    Args:
        path: A folder of files; or a file, with those beside it that are called alike.
        beside: Names further files beside it that belong to it.

    Raises:
        DataError: It was changed, or there is no room in memory.
    """
    vault = vault_over(path)
    files = _files(path, beside) if vault.sealed else []
    sealed = [_seals(file) for file in files]  # all: none hides behind others
    if not any(sealed):
        yield path
        return
    with in_memory() as copy:
        top = path.parent
        for file in files:
            target = copy / file.relative_to(top)
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(file, target, vault)
        yield copy / path.name


def _files(path: Path, beside: Callable[[Path], Iterable[str]]) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    alike, also = f"{path.stem}.", {path.name, *beside(path)}
    found = (file for file in path.parent.iterdir() if file.is_file())
    return sorted(file for file in found if file.name in also or file.name.startswith(alike))


def _copy(file: Path, target: Path, vault: Reader) -> None:
    """Copy a file into memory, opened where it is sealed."""
    try:
        if not vault.seals(file):
            shutil.copyfile(file, target)
            return
        with target.open("wb") as copy:
            copy.writelines(_pieces(vault.blob(file)))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        message = f"{MEMORY} has no room for a scan"
        raise NoMemoryError(message, remedy="Give it more: docker run --shm-size=4g") from None


def _pieces(blob: Blob) -> Iterator[Buffer]:
    for start in range(0, len(blob), PIECE):
        yield blob.read(start, start + PIECE)
