"""LUNA16's tables of findings, brought along under the scans' new names.

``annotations.csv`` and ``annotations_excluded.csv`` name series by UID, file or folder. Their lines
about imported scans go into tables of the same name beside the site's patients, where the source
``annotated-volumes`` reads them; other lines and other columns stay behind.
"""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

from medfed.connectors.annotations import COLUMNS
from medfed.connectors.scans.problems import ScanError
from medfed.core.errors import DataError
from medfed.core.private_files import content
from medfed.core.vault import OPEN
from medfed.services.imports.report import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from medfed.core.vault import Vault

TABLES = ("annotations.csv", "annotations_excluded.csv")
Row = tuple[str, ...]


class Findings:
    """Gathers tables and names during an import, and writes them at its end."""

    def __init__(self) -> None:
        self._tables: list[Path] = []
        self._names: dict[str, set[str]] = {}

    def add_table(self, path: Path) -> None:
        """A table that lies among what is imported."""
        self._tables.append(path)

    def add_scan(self, scan: str, names: Iterable[str]) -> None:
        """What tables may call a scan; a name that several scans share tells nothing."""
        for name in names:
            self._names.setdefault(name, set()).add(scan)

    def write(self, scans: Path, vault: Vault = OPEN) -> list[Trouble]:
        """Put the lines about known scans beside the site's patients.

        A table's lines about a scan take the place of those that were there.

        Args:
            scans: the folder of the site's patients.
            vault: how tables lie there.

        Returns:
            What could not be read.
        """
        known = {name: next(iter(own)) for name, own in self._names.items() if len(own) == 1}
        troubles = []
        for table in self._tables:
            try:
                rows = [(known[name], *rest) for name, *rest in _read(table) if name in known]
            except (OSError, DataError):
                error = ScanError("unreadable-file")
                troubles.append(Trouble.of(error, (str(table),)))
                continue
            except (ValueError, csv.Error):
                troubles.append(Trouble.named("bad-table", (str(table),)))
                continue
            if rows:
                _merge(scans / table.name, rows, vault)
        return troubles


def forget_scan(scans: Path, scan: str, vault: Vault = OPEN) -> None:
    """Take the lines about a scan out of the tables beside the site's patients."""
    for file in (scans / name for name in TABLES):
        if file.exists():
            rows = _read(file)
            kept = [row for row in rows if row[0] != scan]
            if kept != rows:
                _write(file, kept, vault)


def _merge(file: Path, rows: list[Row], vault: Vault) -> None:
    mine = {row[0] for row in rows}
    kept = [row for row in _read(file) if row[0] not in mine] if file.exists() else []
    _write(file, [*kept, *rows], vault)


def _write(file: Path, rows: list[Row], vault: Vault) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([COLUMNS, *sorted(dict.fromkeys(rows))])
    blob = buffer.getvalue().encode()
    if not file.exists() or content(file) != blob:
        vault.write(file, blob)


def _read(file: Path) -> list[Row]:
    """The lines with LUNA16's columns, their numbers checked and otherwise as written.

    Raises:
        ValueError: a column is missing, or a number is none.
    """
    text = io.StringIO(content(file).decode("utf-8-sig"), newline="")
    rows = []
    for row in csv.DictReader(text):
        values = [row.get(column) or "" for column in COLUMNS]
        if not all(math.isfinite(float(number)) for number in values[1:]):
            raise ValueError("not finite")
        rows.append(tuple(value.strip() for value in values))
    return rows
