"""A site's catalogue of scans: what was imported, under other names, and nothing of what it was.

One SQLite file in the site's folder, readable by its owner only. It holds no name, number or date
of a patient, no original UID and no original path: what is needed to know an object again is kept
as a keyed digest. A row is written last, in one transaction, when the files of a scan are in place.
In an encrypted folder the whole file is encrypted.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from medfed.core.errors import DataError, SiteError
from medfed.core.vault import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from medfed.core.vault import Vault

CATALOGUE = "catalogue.sqlite"
SCHEMA = 1
BUSY_SECONDS = 30.0

TABLES = """
CREATE TABLE about (key_fingerprint TEXT NOT NULL);
CREATE TABLE scans (
    scan TEXT PRIMARY KEY,
    patient TEXT NOT NULL,
    folder TEXT NOT NULL UNIQUE,
    form TEXT NOT NULL,
    imported TEXT NOT NULL,
    facts TEXT NOT NULL
);
CREATE INDEX scans_by_patient ON scans (patient);
CREATE TABLE objects (
    scan TEXT NOT NULL REFERENCES scans (scan) ON DELETE CASCADE,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (scan, name)
);
"""


@dataclass(frozen=True)
class StoredObject:
    """One file of a scan.

    Attributes:
        name: inside the scan's folder.
        bytes: its length.
        sha256: of the file as it lies there.
        source: keyed digest of the original it was made from; several files may share one.
    """

    name: str
    bytes: int
    sha256: str
    source: str


@dataclass(frozen=True)
class CataloguedScan:
    """One scan at a site.

    Attributes:
        scan: its name at the site.
        patient: the patient's pseudonym.
        folder: where it lies, from the site's data folder, with ``/``.
        form: what its files are, such as ``DICOM``.
        imported: when, UTC, ISO 8601.
        shape: voxels along ``(z, y, x)``.
        spacing_mm: along ``(z, y, x)``.
        study_date: moved with all dates of the patient; empty where unknown.
        manufacturer: of the scanner; empty where unknown.
        model: of the scanner.
        kernel: of the reconstruction.
        mask: whether a mask lies beside it.
        synthetic: whether a program drew it.
        doubts: public names of reasons to doubt that the picture shows nobody.
        objects: its files.
    """

    scan: str
    patient: str
    folder: str
    form: str
    imported: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    study_date: str = ""
    manufacturer: str = ""
    model: str = ""
    kernel: str = ""
    mask: bool = False
    synthetic: bool = False
    doubts: tuple[str, ...] = ()
    objects: tuple[StoredObject, ...] = ()

    @property
    def bytes(self) -> int:
        """Length of all its files."""
        return sum(one.bytes for one in self.objects)

    @property
    def sources(self) -> frozenset[str]:
        """Keyed digests of all originals."""
        return frozenset(one.source for one in self.objects)


@dataclass(frozen=True)
class ListedScan:
    """A scan in a list.

    Attributes:
        scan: without its files.
        bytes: length of all its files.
        of_patient: how many scans of the patient the catalogue holds.
    """

    scan: CataloguedScan
    bytes: int
    of_patient: int


@dataclass(frozen=True)
class Counts:
    """How much a catalogue holds."""

    scans: int = 0
    patients: int = 0
    bytes: int = 0


COLUMNS = ("scan", "patient", "folder", "form", "imported")
LISTED = """
SELECT scan, patient, folder, form, imported, facts,
    (SELECT coalesce(sum(bytes), 0) FROM objects WHERE objects.scan = scans.scan),
    (SELECT count(*) FROM scans AS own WHERE own.patient = scans.patient)
FROM scans
"""
COUNTED = "SELECT count(*) FROM scans"
PART = "ORDER BY patient, scan LIMIT :limit OFFSET :offset"
FACTS = ("study_date", "manufacturer", "model", "kernel")
SEARCHED = ("scan", "patient", "form", *(f"json_extract(facts, '$.{name}')" for name in FACTS))
FOUND = " OR ".join(f"instr(lower({column}), lower(:words))" for column in SEARCHED)


class Catalogue:
    """Access to the catalogue of one site.

    Args:
        file: the SQLite file; made where there is none.
        key_fingerprint: of the key the pseudonyms are made with.
        vault: how it lies on the disk.

    Raises:
        DataError: the file is damaged, or of a later program.
        SiteError: it was filled under another key.
    """

    def __init__(self, file: Path, key_fingerprint: str, vault: Vault = OPEN) -> None:
        self._file = file
        self._vault = vault
        if not file.exists():
            with open(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb"):  # noqa: PTH123  # only open() takes a handle
                pass
        with self._told():
            self._db = vault.connect(file, BUSY_SECONDS)
            self._db.execute("PRAGMA foreign_keys = ON")
            self._settle(key_fingerprint)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scans(self) -> list[CataloguedScan]:
        """All scans, by patient, then name; with their objects."""
        with self._told():
            query = "SELECT scan, patient, folder, form, imported, facts FROM scans"
            rows = self._db.execute(f"{query} ORDER BY patient, scan").fetchall()
            objects: dict[str, list[StoredObject]] = {row[0]: [] for row in rows}
            query = "SELECT scan, name, bytes, sha256, source FROM objects ORDER BY scan, name"
            for scan, *fields in self._db.execute(query):
                objects[scan].append(StoredObject(*fields))
        return [_scan(row, objects[row[0]]) for row in rows]

    def find(self, scan: str) -> CataloguedScan | None:
        """One scan by its name; None where there is none."""
        with self._told():
            query = "SELECT scan, patient, folder, form, imported, facts FROM scans WHERE scan = ?"
            row = self._db.execute(query, (scan,)).fetchone()
            query = "SELECT name, bytes, sha256, source FROM objects WHERE scan = ? ORDER BY name"
            objects = [StoredObject(*fields) for fields in self._db.execute(query, (scan,))]
        return _scan(row, objects) if row else None

    def page(
        self, words: str = "", *, offset: int = 0, limit: int = 50
    ) -> tuple[list[ListedScan], int]:
        """Scans by patient, then name, and how many there are in all.

        Args:
            words: only those whose name, patient, form, date or scanner contains this.
            offset: how many to pass over.
            limit: how many at most.
        """
        given = {"words": words, "offset": offset, "limit": limit}
        with self._told():
            rows = self._db.execute(f"{LISTED} WHERE {FOUND} {PART}", given).fetchall()
            (total,) = self._db.execute(f"{COUNTED} WHERE {FOUND}", given).fetchone()
        return [ListedScan(_scan(row[:-2], []), *row[-2:]) for row in rows], total

    def listed(self, scan: str) -> ListedScan | None:
        """One scan as it stands in the list; None where there is none."""
        with self._told():
            row = self._db.execute(f"{LISTED} WHERE scan = ?", (scan,)).fetchone()
        return ListedScan(_scan(row[:-2], []), *row[-2:]) if row else None

    def counts(self) -> Counts:
        """How much there is."""
        with self._told():
            query = "SELECT count(*), count(DISTINCT patient) FROM scans"
            scans, patients = self._db.execute(query).fetchone()
            (size,) = self._db.execute("SELECT coalesce(sum(bytes), 0) FROM objects").fetchone()
        return Counts(scans, patients, size)

    def remove(self, scan: str) -> None:
        """Take a scan out."""
        with self._told(), self._transaction():
            self._db.execute("DELETE FROM scans WHERE scan = ?", (scan,))

    def put(self, scan: CataloguedScan) -> None:
        """Add a scan, or put it in the place of the one of its name; all of it or nothing."""
        fields = asdict(scan)
        facts = {k: v for k, v in fields.items() if k not in {*COLUMNS, "objects"}}
        row = (*(fields[name] for name in COLUMNS), json.dumps(facts, ensure_ascii=False))
        objects = [(scan.scan, o.name, o.bytes, o.sha256, o.source) for o in scan.objects]
        with self._told(), self._transaction():
            self._db.execute("DELETE FROM scans WHERE scan = ?", (scan.scan,))
            self._db.execute("INSERT INTO scans VALUES (?, ?, ?, ?, ?, ?)", row)
            self._db.executemany("INSERT INTO objects VALUES (?, ?, ?, ?, ?)", objects)

    def _settle(self, key_fingerprint: str) -> None:
        """Make the tables, or check them and the key."""
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO about VALUES (?)", (key_fingerprint,))
                self._db.execute(f"PRAGMA user_version = {SCHEMA}")
                return
            if version > SCHEMA:
                message = f"{self._file} was written by a later medfed"
                raise DataError(message, remedy="Install that version")
            (known,) = self._db.execute("SELECT key_fingerprint FROM about").fetchone()
        if known != key_fingerprint:
            message = f"{self._file} was filled under another key than the one beside it"
            remedy = "Restore the key from a backup: with another, every patient has a new name"
            raise SiteError(message, remedy=remedy)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's complaints as sentences."""
        try:
            yield
        except self._vault.sqlite.OperationalError as error:
            raise DataError(f"{self._file} cannot be used: {error}") from error
        except self._vault.sqlite.DatabaseError as error:
            remedy = "Restore it from a backup, or move it away and import again"
            raise DataError(f"{self._file} is damaged", remedy=remedy) from error


def _scan(row: tuple[Any, ...], objects: list[StoredObject]) -> CataloguedScan:
    *columns, facts = row
    given: dict[str, Any] = {**json.loads(facts), "objects": tuple(objects)}
    for name in ("shape", "spacing_mm", "doubts"):
        given[name] = tuple(given[name])
    return CataloguedScan(**dict(zip(COLUMNS, columns, strict=True)), **given)
