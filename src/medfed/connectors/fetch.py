"""Bringing public data sets: a small catalogue, every file checked by its SHA-256."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from medfed.core.errors import DataError
from medfed.core.files import write_atomic
from medfed.core.options import did_you_mean

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes of it that are here, and its size."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a data set."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """A public data set.

    Attributes:
        name: Its name here, and that of its folder.
        title: A name for people.
        base_url: The address that the files' names are added to.
        page: Where a person can read about it and get it by hand.
        licence: Under which terms.
        cite: What its authors ask to be cited.
        files: Its files.
    """

    name: str
    title: str
    base_url: str
    page: str
    licence: str
    cite: str
    files: tuple[RemoteFile, ...]


HEART_DISEASE = DataSet(
    name="heart-disease",
    title="UCI heart disease: Cleveland, Budapest, Zurich and Basel, Long Beach VA",
    base_url="https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/",
    page="https://archive.ics.uci.edu/dataset/45/heart+disease",
    licence="CC BY 4.0",
    cite=(
        "Janosi, A., Steinbrunn, W., Pfisterer, M., Detrano, R. (1989). Heart Disease. "
        "UCI Machine Learning Repository. https://doi.org/10.24432/C52P4X"
    ),
    files=(
        RemoteFile(
            "processed.cleveland.data",
            18461,
            "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
        ),
        RemoteFile(
            "processed.hungarian.data",
            10263,
            "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
        ),
        RemoteFile(
            "processed.switzerland.data",
            4109,
            "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
        ),
        RemoteFile(
            "processed.va.data",
            6737,
            "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
        ),
    ),
)

CATALOGUE: Mapping[str, DataSet] = MappingProxyType({HEART_DISEASE.name: HEART_DISEASE})
"""The data sets that `fetch` knows, by name."""


def fetch(
    name: str,
    into: Path,
    *,
    base_url: str | None = None,
    timeout: float = 30.0,
    progress: Progress | None = None,
) -> Path:
    """Bring a data set into ``into/NAME``; files that are there and right are left alone.

    Args:
        name: A name of `CATALOGUE`.
        into: The data folder; made if it is not there.
        base_url: A mirror to use instead of the data set's own address.
        timeout: Seconds without a byte, and the tenth part of what one file may take.
        progress: Called as bytes arrive.

    Returns:
        The data set's folder.

    Raises:
        DataError: No such data set, its address cannot be reached, what came is not the file
            that medfed knows (nothing of it is kept), or the disk refuses.
    """
    if name not in CATALOGUE:
        message = f'there is no data set called "{name}"'
        raise DataError(message, remedy=did_you_mean(name, CATALOGUE))
    data_set = CATALOGUE[name]
    base = _checked_base(base_url or data_set.base_url)
    folder = into / data_set.name
    by_hand = (
        f"Check the connection and HTTPS_PROXY; or get the files by hand from {data_set.page} "
        f"and put them into {folder}"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in data_set.files:
            if is_intact(folder / file.name, file):
                _tell(progress, file, file.size)
                continue
            content = _download(base, file, timeout, by_hand, progress)
            write_atomic(folder / file.name, content)
        _write_source(folder, data_set, base)
    except OSError as error:
        message = f"{folder} cannot be written ({error.strerror})"
        raise DataError(message, remedy="Make room, or choose another folder") from None
    return folder


def is_intact(path: Path, file: RemoteFile) -> bool:
    """Whether a file on disk is exactly the published one."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def _checked_base(base: str) -> str:
    if urlsplit(base).scheme not in ("https", "http"):
        message = f"{base} is not a web address"
        raise DataError(message, remedy="Give one that begins with https://")
    return base if base.endswith("/") else base + "/"


def _download(
    base: str, file: RemoteFile, timeout: float, by_hand: str, progress: Progress | None
) -> bytes:
    url = base + file.name
    host = urlsplit(url).netloc.rpartition("@")[2]
    try:
        content = _read(url, file, timeout, progress)
    except urllib.error.HTTPError as error:
        with error:
            message = f"{host} does not have {file.name} (HTTP {error.code})"
        raise DataError(message, remedy=by_hand) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        message = f"{host} could not be reached for {file.name} ({reason or type(error).__name__})"
        raise DataError(message, remedy=by_hand) from None
    if len(content) < file.size:
        message = f"{file.name} came incomplete: {len(content)} of {file.size} bytes, not kept"
        raise DataError(message, remedy="Try again: files that are complete are not fetched twice")
    if len(content) > file.size or hashlib.sha256(content).hexdigest() != file.sha256:
        message = f"what {host} sent as {file.name} is not the published file; it was not kept"
        raise DataError(message, remedy=f"A proxy may have answered instead. {by_hand}")
    return content


def _read(url: str, file: RemoteFile, timeout: float, progress: Progress | None) -> bytes:
    """At most one byte more than the file has, within the time."""
    request = urllib.request.Request(url, headers={"User-Agent": "medfed"})  # noqa: S310  # checked
    end = time.monotonic() + 10 * timeout
    content = bytearray()
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310  # web only
        while chunk := answer.read1(min(65536, file.size + 1 - len(content))):
            content += chunk
            _tell(progress, file, min(len(content), file.size))
            if len(content) > file.size:
                break
            if time.monotonic() > end:
                raise TimeoutError("too slow")
    return bytes(content)


def _tell(progress: Progress | None, file: RemoteFile, done: int) -> None:
    if progress:
        progress(file.name, done, file.size)


def _write_source(folder: Path, data_set: DataSet, base: str) -> None:
    """Say beside the data where they come from; unchanged text is not written again."""
    address = base if not urlsplit(base).username else data_set.page
    lines = [
        data_set.title,
        f"Origin: {address}",
        f"Page: {data_set.page}",
        f"Licence: {data_set.licence}",
        f"Cite: {data_set.cite}",
        *(f"{file.sha256}  {file.size}  {file.name}" for file in data_set.files),
    ]
    text = "\n".join(lines) + "\n"
    path = folder / "SOURCE.txt"
    if not path.exists():
        write_atomic(path, text.encode())
