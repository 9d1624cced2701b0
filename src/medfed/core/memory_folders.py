"""Folders that lie in memory: for copies of private files, which must not come to lie on a disk.

What a process that was killed leaves in one goes when the next one opens an encrypted folder.
"""

import atexit
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medfed.core.errors import DataError

MEMORY = Path("/dev/shm")  # noqa: S108  # the one folder that Linux keeps in memory
PREFIX = "medfed-open-"
_LASTING: dict[tuple[Path, int, int], int] = {}
"""By folder, its inode and who asked: the lock on each lasting folder."""


class NoMemoryError(DataError):
    """There is no folder in memory, or no room in it."""


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder that lies in memory, for its owner only, and is gone afterwards.

    Raises:
        DataError: This system has none.
    """
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        message = f"encrypted scans are opened in {MEMORY}, which this system lacks"
        raise NoMemoryError(
            message, remedy="Use Linux, or an encrypted disk and a folder that is not"
        )
    folder, handle = _held_copy()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


@contextmanager
def unpacking(archive: Path) -> Iterator[Path]:
    """A folder for what is in an archive: in memory where the archive is a copy in memory.

    Raises:
        DataError: see `in_memory`.
    """
    if archive.resolve().is_relative_to(MEMORY.resolve()):
        with in_memory() as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="medfed-") as name:
        yield Path(name)


def _held_copy() -> tuple[Path, int]:
    """A new folder in memory, and the lock on it: until that is let go nobody sweeps it away."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=MEMORY))
        with suppress(FileNotFoundError):  # swept before it was locked
            handle = _hold(folder)
            if folder.exists():
                return folder, handle
            os.close(handle)


def _hold(folder: Path) -> int:
    """Lock a folder against being swept, beside others who use it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def private_memory(name: str) -> Path:
    """A folder in memory, known by a name; only its owner may use it.

    It stays while a process that asked for it lives: the last one removes it at its end, and what
    a killed one leaves goes when the next process opens an encrypted folder.

    Raises:
        DataError: This system has none, or the folder is somebody else's.
    """
    while True:
        folder = _own_folder(f"{_lasting()}{_short(name)}")
        with suppress(FileNotFoundError):  # another process left, and took it away meanwhile
            asked = folder, folder.stat(follow_symlinks=False).st_ino, os.getpid()
            if asked in _LASTING:
                return folder
            handle = _hold(folder)
            if folder.exists() and os.fstat(handle).st_ino == asked[1]:
                _LASTING[asked] = handle
                return folder
            os.close(handle)


def kept_memory(name: str) -> Path:
    """A folder in memory, known by a name, that stays until the machine is started anew.

    For what has to survive the end of any process. Only its owner may use it.

    Raises:
        DataError: This system has none, or the folder is somebody else's.
    """
    return _own_folder(f"medfed-kept-{os.getuid()}-{_short(name)}")


def _own_folder(name: str) -> Path:
    folder = MEMORY / name
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.stat(follow_symlinks=False)
    except OSError as error:
        raise DataError(f"{folder} cannot be used: {error.strerror}") from None
    if about.st_uid != os.getuid() or not stat.S_ISDIR(about.st_mode) or about.st_mode & 0o077:
        message = f"{folder} is somebody else's"
        raise DataError(message, remedy="Find out whose, and remove it")
    return folder


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def _lasting() -> str:
    """How the names of this user's lasting folders begin."""
    return f"medfed-{os.getuid()}-"


@atexit.register
def _leave() -> None:
    """Remove the lasting folders that no other process uses."""
    for (folder, _, owner), handle in _LASTING.items():
        if owner == os.getpid():
            os.close(handle)
            _remove_unheld(folder)


def _remove_unheld(folder: Path) -> None:
    """Remove a folder, unless a process that lives holds it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(handle)


def sweep() -> None:
    """Remove what processes that are gone left, in whichever container they ran."""
    for kind in (PREFIX, _lasting()):
        for left in MEMORY.glob(f"{kind}*"):
            _remove_unheld(left)
