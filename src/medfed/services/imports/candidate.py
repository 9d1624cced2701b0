"""A scan that may be imported, before a byte of it is written."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from medfed.storage.catalogue import StoredObject

if TYPE_CHECKING:
    from pathlib import Path

    from medfed.storage.catalogue import CataloguedScan

Written = tuple["CataloguedScan", int]
"""The row to catalogue, and how many free texts were emptied."""


class Candidate(Protocol):
    """A readable scan of a known patient.

    Attributes:
        scan: its name at the site.
        identity: what the hospital calls the patient.
        original: what the hospital calls the scan.
        names: what tables of findings may call it.
        where: its original files.
        doubts: public names of reasons to doubt that the picture shows nobody.
        synthetic: whether a program drew it.
    """

    scan: str
    identity: str
    original: str
    names: tuple[str, ...]
    where: tuple[str, ...]
    doubts: tuple[str, ...]
    synthetic: bool

    def sources(self) -> frozenset[str]:
        """Keyed digests of its originals.

        Raises:
            ScanError: they cannot be read any more.
        """
        ...

    def write(self, folder: Path, relative: str) -> Written:
        """Write the de-identified files.

        Args:
            folder: an empty one.
            relative: where it will lie, from the site's data folder.

        Raises:
            ScanError: the originals cannot be read.
            OSError: the disk is full or refuses.
        """
        ...


@dataclass
class Shelf:
    """Files of a scan in the making, each flushed and with its digest."""

    folder: Path

    def add(self, name: str, content: bytes, source: str) -> StoredObject:
        """Write one file, readable by its owner only."""
        path = self.folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        return StoredObject(name, len(content), hashlib.sha256(content).hexdigest(), source)
