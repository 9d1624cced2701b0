"""The tables of a hospital: text files beside its patients' scans, for studies that read them."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from medfed.connectors.scans.problems import ScanError
from medfed.core.errors import DataError
from medfed.core.files import sync
from medfed.core.private_files import content, text, vault_over
from medfed.federation.site_folder import SiteFolder
from medfed.services.accounts import Identity, Subject, require
from medfed.services.audit import record
from medfed.services.imports.findings import TABLES
from medfed.services.imports.place import DEFAULT_DATA, open_place
from medfed.services.sites import site_vault
from medfed.services.trouble import Missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from medfed.storage.database import Database

ENCODING = "utf-8-sig"  # as the reader of studies takes it
SEPARATORS = (",", ";", "\t", "|")
GLANCED = 50_000_000
"""Bytes of the largest table whose rows are counted for a list."""


@dataclass(frozen=True)
class TableFacts:
    """A table in a list.

    Attributes:
        name: The file's.
        bytes: Its length.
        changed: When, ISO 8601, UTC.
        columns: Their names.
        rows: How many, without the first line; None where it is too long to be counted.
        separator: What stands between two values.
    """

    name: str
    bytes: int
    changed: str
    columns: tuple[str, ...]
    rows: int | None
    separator: str


@dataclass(frozen=True)
class Tables:
    """The tables of one hospital.

    Attributes:
        site: The site's own folder.
        database: The console's, for the record.
    """

    site: Path
    database: Database

    def list(self) -> list[TableFacts]:
        """All tables, by name."""
        site_vault(self.site)  # theirs may be sealed
        folder = _folder(self.site)
        files = sorted(folder.glob("*.[cC][sS][vV]")) if folder.is_dir() else []
        return [_facts(path) for path in files if path.is_file() and not path.is_symlink()]

    def delete(self, by: Identity, name: str) -> None:
        """Delete a table.

        Raises:
            AccessError: ``by`` may not.
            Missing: There is none of this name.
            SiteError: An import is at work.
        """
        require(self.database, by, "data.delete", Subject(f"table {name}"))
        self.find(name)
        with open_place(self.site) as place:
            (place.scans.parent / name).unlink(missing_ok=True)
            sync(place.scans.parent)
        with self.database.write() as session:
            record(session, by, "data.delete", f"table {name}")

    def find(self, name: str) -> TableFacts:
        """One table.

        Raises:
            Missing: There is none of this name.
        """
        found = next((one for one in self.list() if one.name == name), None)
        if found is None:
            raise Missing("there is no such table", remedy="Look at the list of tables")
        return found


def take_tables(site: Path, files: Sequence[Path]) -> tuple[list[dict[str, Any]], list[Any]]:
    """Put tables into a site's data folder, once each is known to be one.

    Args:
        site: The site's own folder.
        files: The tables; LUNA16's are no business of this.

    Returns:
        What was taken in, and what was refused: name, message, remedy and file of each.
    """
    taken, refused = [], []
    for path in files:
        if path.name in TABLES:
            continue
        try:
            taken.append(_take(site, path))
        except DataError as error:
            refused.append(("bad-csv", error.message, error.remedy, path.name))
        except FileNotFoundError:  # a piece of a sealed one
            gone = ScanError("unreadable-file")
            refused.append((gone.name, gone.message, gone.remedy, path.name))
    return taken, refused


def _take(site: Path, path: Path) -> dict[str, Any]:
    from medfed.connectors.csv_table import read_table  # imports pandas

    separator = _separator(path)
    frame = read_table(path, separator=separator)
    gaps = int(frame.isna().sum().sum())
    with open_place(site) as place:
        target = place.scans.parent / path.name
        known = target.exists()
        if known and content(target) != content(path):
            message = f"there is a table {path.name} already, with other content"
            raise DataError(message, remedy="Delete that one first, or give this another name")
        if not known:
            place.keeps.write(target, content(path))
    about = asdict(_facts(target))
    return {**about, "gaps": gaps, "state": "unchanged" if known else "imported"}


def _folder(site: Path) -> Path:
    return SiteFolder(site).settings().data or site / DEFAULT_DATA


def _separator(path: Path) -> str:
    """The separator that cuts the first line into most columns."""
    try:
        with text(path, ENCODING) as file:
            first = file.readline(1_000_000)
    except UnicodeDecodeError:
        return ","  # the reader says what is wrong
    return max(SEPARATORS, key=first.count)


def _facts(path: Path) -> TableFacts:
    about, vault = path.stat(), vault_over(path)
    size = len(vault.blob(path)) if vault.seals(path) else about.st_size
    return _looked_at(path, size, about.st_mtime)


@lru_cache(maxsize=256)
def _looked_at(path: Path, size: int, changed: float) -> TableFacts:
    separator, rows, columns = ",", None, []
    try:
        separator = _separator(path)
        with text(path, ENCODING) as file:
            lines = csv.reader(file, delimiter=separator, skipinitialspace=True)
            columns = [name.strip() for name in next(lines, [])]
            rows = sum(bool(row) for row in lines) if size <= GLANCED else None
    except (OSError, UnicodeDecodeError, csv.Error):
        rows = None
    moment = datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds")
    return TableFacts(path.name, size, moment, tuple(columns), rows, separator)
