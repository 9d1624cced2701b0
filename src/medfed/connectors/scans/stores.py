"""Where files lie: a folder, one file, or a zip, which is never unpacked to the disk.

All are read alike: by name, from an offset, a number of bytes. Somebody else made the zip, so its
names, sizes and contents are believed within limits only.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from medfed.connectors.scans.problems import ScanError, ScanProblem, problem
from medfed.core.errors import DataError
from medfed.core.private_files import sealed, seekable, size, stretch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_FILES = 50_000
"""In one folder or zip, with those below: the headers of all are held at once, 70 KB each."""

LARGEST_CONTENT = 32 * 1024**3
"""Bytes that a zip may unpack to, in all."""

LARGEST_MEMBER = 4 * 1024**3
MOST_EXPANSION = 100
"""Times that a zip of more than `SMALL` may grow: CTs shrink to a half or a third."""

SMALL = 1024**3


class Store(Protocol):
    """Files by name.

    Attributes:
        problems: what was left out, and why.
        seekable: whether bytes in the middle of a file cost no more than those at its beginning.
    """

    problems: tuple[ScanProblem, ...]
    seekable: bool

    def sizes(self) -> dict[str, int]:
        """Bytes of each file by its name, sorted by name."""
        ...

    def read(self, name: str, offset: int, count: int) -> bytes:
        """At most ``count`` bytes from ``offset``; fewer at the end of the file.

        Raises:
            ScanError: the file is gone or damaged.
        """
        ...


class Folder:
    """The files of a folder and of those below it; or one file."""

    seekable = True

    def __init__(self, path: Path) -> None:
        self.root = path if path.is_dir() else path.parent
        self.problems: tuple[ScanProblem, ...] = ()
        names = [path.name] if path.is_file() else list(self._walk())
        outside = [n for n in names if path.is_dir() and self._leads_out(n)]
        if outside:
            self.problems = (problem("outside-folder", files=tuple(outside)),)
        self._sizes = {n: size(self.root / n) for n in sorted({*names} - {*outside})}

    def _walk(self) -> Iterator[str]:
        count = 0
        for folder, inner, files in os.walk(self.root):
            inner[:] = [name for name in inner if not name.startswith(".")]
            for name in files:
                path = Path(folder, name)
                if name.startswith(".") or not path.is_file():
                    continue
                count += 1
                if count > MOST_FILES:
                    raise ScanError(
                        "too-large",
                        f"the folder holds more than {MOST_FILES:,} files",
                        remedy="Give the folders in it one by one.",
                    )
                yield str(path.relative_to(self.root))

    def _leads_out(self, name: str) -> bool:
        path = self.root / name
        return path.is_symlink() and not path.resolve().is_relative_to(self.root.resolve())

    def sizes(self) -> dict[str, int]:
        """See `Store.sizes`."""
        return self._sizes

    def read(self, name: str, offset: int, count: int) -> bytes:
        """See `Store.read`."""
        path = self.root / name
        try:
            if sealed(path):
                return bytes(stretch(path, offset, count))
            with path.open("rb", buffering=0) as file:
                if offset:
                    file.seek(offset)
                return _all_of(file.read, count)
        except FileNotFoundError:
            raise ScanError("missing-file") from None
        except (OSError, DataError) as error:
            raise ScanError("unreadable-file") from error


class Zip:
    """The files in a zip, checked before anything is unpacked."""

    seekable = False

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.problems: tuple[ScanProblem, ...] = ()
        self._archive = archive
        self._members = {}
        packed = total = 0
        for member in archive.infolist():
            if _leads_out(member.filename):
                raise ScanError("unsafe-zip")
            if not member.filename:  # which the library itself fails on
                raise ScanError("bad-zip", "a file in the zip is damaged")
            if member.is_dir() or _ignored(member.filename):
                continue
            if member.flag_bits & 1:
                raise ScanError("encrypted-zip")
            self._members[member.filename] = member
            packed += member.compress_size
            total += member.file_size
            if member.file_size > LARGEST_MEMBER:
                raise ScanError("decompression-bomb")
        if len(self._members) > MOST_FILES or total > LARGEST_CONTENT:
            raise ScanError("decompression-bomb")
        if total > SMALL and total > MOST_EXPANSION * packed:
            raise ScanError("decompression-bomb")

    def sizes(self) -> dict[str, int]:
        """See `Store.sizes`."""
        return {name: self._members[name].file_size for name in sorted(self._members)}

    def read(self, name: str, offset: int, count: int) -> bytes:
        """See `Store.read`."""
        try:
            with self._archive.open(self._members[name]) as file:
                while offset > 0:
                    skipped = len(file.read(min(offset, 1024**2)))
                    if not skipped:
                        return b""
                    offset -= skipped
                return _all_of(file.read, count)
        except UNPACKING as error:
            raise ScanError("bad-zip", "a file in the zip is damaged") from error


UNPACKING = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # includes NotImplementedError: a method of packing that Python does not know
)


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """The files of a folder, of a zip, or one file.

    Raises:
        ScanError: there is nothing, or the zip is damaged, encrypted, unsafe or a bomb.
    """
    if not path.exists():
        raise ScanError("missing-file", f"there is no {path.name} in {path.parent.name or '.'}")
    if path.is_dir() or not is_zip(path):
        yield Folder(path)
        return
    try:
        archive = zipfile.ZipFile(seekable(path))
    except UNPACKING as error:
        raise ScanError("bad-zip") from error
    with archive:
        yield Zip(archive)


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip does, or is called one."""
    if path.suffix.lower() == ".zip":
        return True
    try:
        return stretch(path, 0, 4) in {b"PK\x03\x04", b"PK\x05\x06"}
    except OSError:
        return False


def _ignored(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/")


def _all_of(read: Callable[[int], bytes | None], count: int) -> bytes:
    """As many bytes as are there: one call may give fewer than asked for."""
    first = read(count) or b""
    if len(first) == count or not first:
        return first
    parts = [first]
    missing = count - len(first)
    while missing > 0 and (more := read(missing)):
        parts.append(more)
        missing -= len(more)
    return b"".join(parts)
