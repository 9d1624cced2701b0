"""Files that are whole or absent, whatever happens while they are written."""

import errno
import json
import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from medfed.core.errors import DataError

REFUSED_WRITES = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EIO,
    errno.EACCES,
    errno.EPERM,
)
"""What a disk says that is full, broken, or not to be written to."""

Buffer = bytes | bytearray | memoryview


def write_atomic(path: Path, chunks: Buffer | Iterable[Buffer], *, durable: bool = True) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Args:
        path: Where to write; the folder must exist.
        chunks: The content, in one piece or several.
        durable: Flush to the disk before the file takes its name.

    Raises:
        OSError: The disk is full or refuses; the old content is untouched and nothing is left.
    """
    if isinstance(chunks, (bytes, bytearray, memoryview)):
        chunks = (chunks,)
    # Not tempfile's and not a Path: names are a good part of the time of a small write.
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")  # noqa: PTH118  # so too
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)  # noqa: PTH105  # so too
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)  # noqa: PTH108  # so too
        raise
    if durable:
        sync(folder or ".")


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write readable JSON atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n"
    write_atomic(path, text.encode(), durable=durable)


def append_line(path: Path, value: Any, *, durable: bool = True) -> None:
    """Append one JSON object as a line, and flush it to the disk unless it can be made again.

    A last line that a crash cut off is removed first, so that the new one does not run into it.

    Raises:
        OSError: The disk is full or refuses; the lines before are untouched.
    """
    append_text(path, json.dumps(value, ensure_ascii=False), durable=durable)


def append_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Append a line, which holds no line break, as `append_line` does."""
    line = f"{text}\n".encode()
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        end = _whole_lines(handle)
        if end < os.fstat(handle).st_size:
            os.ftruncate(handle, end)
        try:
            _write_all(handle, line, end)
            if durable:
                os.fsync(handle)
        except OSError:
            os.ftruncate(handle, end)
            raise
    finally:
        os.close(handle)


def read_lines(path: Path, opened: Callable[[str], str] = str) -> list[Any]:
    """The JSON objects of a line file; a last line cut off by a crash is left out.

    Args:
        path: The file.
        opened: Makes JSON of a line that lies there otherwise.

    Raises:
        DataError: Another line is damaged.
    """
    if not path.exists():
        return []
    *lines, _cut_off = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(opened(line.decode("utf-8", "surrogatepass"))))
        except (ValueError, DataError):
            remedy = "Restore the file from a backup"
            raise DataError(f"line {number} of {path} is damaged", remedy=remedy) from None
    return rows


def canonical_json(value: Any) -> bytes:
    """JSON with one spelling per value: sorted keys, no spaces, UTF-8 (after RFC 8785)."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _whole_lines(handle: int) -> int:
    """Where the last whole line of an open file ends."""
    end = os.fstat(handle).st_size
    while end:
        start = max(0, end - 4096)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _write_all(handle: int, data: bytes, offset: int) -> None:
    """Write all of it: where the disk is nearly full the system takes a part and says so."""
    while data:
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written


def sync(path: Path | str) -> None:
    """Have a file, or a folder's entries, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
