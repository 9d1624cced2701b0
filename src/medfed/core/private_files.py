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
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from medfed.core.errors import DataError
from medfed.core.vault import OPEN, Vault

MEMORY = Path("/dev/shm")  # noqa: S108  # the one folder that Linux keeps in memory
PREFIX = "medfed-open-"
_VAULTS: dict[Path, Vault] = {}


def remember(folder: Path, vault: Vault) -> None:
    """Have private files below a folder be read through its vault from now on."""
    if vault.sealed:
        _VAULTS[folder.resolve()] = vault
        _sweep()


def vault_over(path: Path) -> Vault:
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
    return vault.read(path) if vault.seals(path) else path.read_bytes()


def text(path: Path, encoding: str) -> TextIO:
    """A text file, its line ends as they are, opened where it is sealed.

    Raises:
        OSError: It cannot be read.
        DataError: It was changed.
        UnicodeDecodeError: It is no such text; where it is not sealed, when it is read.
    """
    if not vault_over(path).seals(path):
        return path.open(encoding=encoding, newline="")
    return io.StringIO(content(path).decode(encoding), newline="")


def binary(path: Path) -> Path | io.BytesIO:
    """What a reader can open: the path, or the content of a file that is sealed."""
    return io.BytesIO(content(path)) if vault_over(path).seals(path) else path


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """A scan as its readers can open it: where it lies, or a copy in memory of one that is sealed.

    Args:
        path: A folder of files; or a file, with those beside it that are called alike.

    Raises:
        DataError: It was changed, or there is no room in memory.
    """
    vault = vault_over(path)
    files = _files(path) if vault.sealed else []
    if not any(vault.seals(file) for file in files):
        yield path
        return
    with in_memory() as copy:
        top = path.parent
        for file in files:
            target = copy / file.relative_to(top)
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, vault.read(file) if vault.seals(file) else file.read_bytes())
        yield copy / path.name


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder that lies in memory, for its owner only, and is gone afterwards.

    Raises:
        DataError: This system has none.
    """
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        message = f"encrypted scans are opened in {MEMORY}, which this system lacks"
        raise DataError(message, remedy="Use Linux, or an encrypted disk and a folder that is not")
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=MEMORY) as name:
        yield Path(name)


def private_memory(name: str) -> Path:
    """A folder in memory that stays, known by a name; only its owner may use it.

    Raises:
        DataError: This system has none, or the folder is somebody else's.
    """
    folder = MEMORY / f"medfed-{os.getuid()}-{hashlib.sha256(name.encode()).hexdigest()[:24]}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.stat(follow_symlinks=False)
    except OSError as error:
        raise DataError(f"{folder} cannot be used: {error.strerror}") from None
    if about.st_uid != os.getuid() or not stat.S_ISDIR(about.st_mode) or about.st_mode & 0o077:
        message = f"{folder} is somebody else's"
        raise DataError(message, remedy="Find out whose, and remove it")
    return folder


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    alike = f"{path.name.partition('.')[0]}."
    return sorted(f for f in path.parent.iterdir() if f.name.startswith(alike) and f.is_file())


def _write(file: Path, blob: bytes) -> None:
    try:
        file.write_bytes(blob)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        message = f"{MEMORY} has no room for a scan"
        raise DataError(message, remedy="Give it more: docker run --shm-size=4g") from None


def _sweep() -> None:
    """Remove the copies of processes that are gone."""
    for left in MEMORY.glob(f"{PREFIX}*"):
        number = left.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            with suppress(OSError):
                shutil.rmtree(left)
