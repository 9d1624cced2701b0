"""Where private files lie: as they are, or sealed by whoever keeps them."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medfed.core.files import Buffer, write_atomic


class Blob(Protocol):
    """The bytes of a private file, of which any stretch may be read by itself."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, start: int, stop: int) -> bytes | memoryview:
        """Bytes ``start:stop``."""


class Reader(Protocol):
    """Reads the private files of one folder."""

    sealed: bool
    """Whether the disk holds something else than the bytes written."""

    def seals(self, path: Path) -> bool:
        """Whether a file that is there lies sealed."""

    def read(self, path: Path) -> bytes:
        """A whole file.

        Raises:
            OSError: It is not there, or cannot be read.
            DataError: It was changed, or is not of this folder.
        """

    def blob(self, path: Path) -> Blob:
        """A file to be read in part; raises what `read` raises."""


class Vault(Reader, Protocol):
    """Writes and reads the private files of one folder."""

    @property
    def sqlite(self) -> Any:
        """The SQLite module that opens its databases: the errors that they raise are its own."""

    def write(
        self,
        path: Path,
        chunks: Buffer | Iterable[Buffer],
        *,
        durable: bool = True,
        place: Path | None = None,
    ) -> None:
        """Write a file whole or not at all; see `medfed.core.files.write_atomic`.

        Args:
            path: The file.
            chunks: Its content.
            durable: Flush it to the disk.
            place: Where it will be moved to, and opened; ``path`` when None.
        """

    def line(self, text: str, what: str = "") -> str:
        """One line for a file that grows by lines; `what` it is, and it opens as nothing else."""

    def opened_line(self, line: str, what: str = "") -> str:
        """What `line` was given.

        Raises:
            DataError: It was changed, or is not of this folder.
        """

    def connect(self, path: Path, timeout: float, *, shared: bool = False) -> sqlite3.Connection:
        """A connection to a SQLite database of the folder, which begins no transaction by itself.

        Args:
            path: Its file; made where there is none.
            timeout: Seconds to wait for others who write.
            shared: Whether one thread after another may use it.
        """


class Open:
    """Files as they are: for a disk that is encrypted as a whole, or needs no encryption."""

    sealed = False
    sqlite = sqlite3

    def write(
        self,
        path: Path,
        chunks: Buffer | Iterable[Buffer],
        *,
        durable: bool = True,
        place: Path | None = None,
    ) -> None:
        """Write a file atomically."""
        write_atomic(path, chunks, durable=durable)

    def seals(self, path: Path) -> bool:
        """No."""
        return False

    def read(self, path: Path) -> bytes:
        """A whole file."""
        return path.read_bytes()

    def blob(self, path: Path) -> Blob:
        """A file to be read in part."""
        return _Bytes(path.read_bytes())

    def line(self, text: str, what: str = "") -> str:
        """The line as it is."""
        return text

    def opened_line(self, line: str, what: str = "") -> str:
        """The line as it is."""
        return line

    def connect(self, path: Path, timeout: float, *, shared: bool = False) -> sqlite3.Connection:
        """A database as it is."""
        return sqlite3.connect(path, timeout, isolation_level=None, check_same_thread=not shared)


class _Bytes(bytes):
    """Bytes at hand, as a `Blob`."""

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``start:stop``."""
        return self[start:stop]


OPEN = Open()


class LazyArray:
    """A flat array inside a `Blob`, read when a stretch of it is asked for.

    Stands where code needs ``flat[start:stop]``, a size and a type of an array, and no more.

    Args:
        blob: Where it lies.
        offset: Of its first byte.
        dtype: Of its elements.
        shape: Of the whole; only told.
    """

    def __init__(
        self, blob: Blob, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.size = int(np.prod(shape, dtype=np.int64))
        self.nbytes = self.size * dtype.itemsize
        self._blob, self._offset = blob, offset

    def __getitem__(self, where: slice) -> NDArray[Any]:
        """Some of its elements, flat, step 1."""
        start, stop, _ = where.indices(self.size)
        width = self.dtype.itemsize
        raw = self._blob.read(self._offset + start * width, self._offset + stop * width)
        return np.frombuffer(raw, self.dtype)

    def reshape(self, *_: int) -> "LazyArray":
        """Itself: it is flat already."""
        return self
