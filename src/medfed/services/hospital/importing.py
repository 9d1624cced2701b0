"""The import itself, in a process of its own."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from medfed.core.errors import DataError
from medfed.core.files import sync
from medfed.services.hospital.tables import take_tables
from medfed.services.hospital.uploads import PARTS
from medfed.services.imports import ImportOptions, import_scans
from medfed.services.imports.place import open_catalogue
from medfed.services.viewing.preparing import prepare
from medfed.services.viewing.views import Views
from medfed.storage.database.tables import UploadRow

if TYPE_CHECKING:
    from pathlib import Path

    from medfed.services.hospital.work import Work

FILES = "files"


def run_import(work: Work) -> dict[str, Any]:
    """Take in what was sent.

    The files stay where something was refused, for another try, and are removed otherwise.
    """
    files = _lay_out(work)
    report = import_scans(
        work.site, files, ImportOptions(**work.job.options), lambda done, _what: work.tell(done)
    )
    _draw(work, [*report.imported, *report.completed])
    tables, bad_tables = take_tables(work.site, _tables_in(files))
    where = [[_within(files, path) for path in one.where] for one in report.refused]
    result = report.to_json()
    del result["folder"], result["record"]
    for name, message, remedy, file in bad_tables:
        result["refused"].append({"name": name, "message": message, "remedy": remedy})
        where.append([file])
    kept = bool(where)
    if not kept:
        shutil.rmtree(work.folder)
    return {**result, "tables": tables, "where": where, "kept": kept}


def _tables_in(files: Path) -> list[Path]:
    """Tables that were chosen by themselves; those in folders belong to the scans beside them."""
    return sorted(path for path in files.iterdir() if path.suffix.lower() == ".csv")


def _draw(work: Work, scans: list[str]) -> None:
    """Thumbnails of what is new; one that cannot be drawn now is tried again when it is shown."""
    for scan in scans:
        with open_catalogue(work.site) as (patients, catalogue):
            row = catalogue.find(scan) if catalogue else None
        if row:
            with suppress(DataError, OSError):
                kept = Views(work.console, work.site).kept
                prepare(kept, patients / row.patient / scan, scan, whole=False)


def _lay_out(work: Work) -> Path:
    """Move each file to where it belongs; what a process before this one moved stays."""
    files = work.folder / FILES
    with work.jobs.database.read() as session:
        rows = session.scalars(select(UploadRow).where(UploadRow.job_id == work.job.id)).all()
    for row in rows:
        part, target = work.folder / PARTS / row.id, files / row.name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if part.exists():
            part.rename(target)
            sync(target.parent)
    with work.jobs.database.write() as session:
        session.execute(delete(UploadRow).where(UploadRow.job_id == work.job.id))
    return files


def _within(files: Path, path: str) -> str:
    """A file as whoever sent it knows it."""
    return path.removeprefix(f"{files}/")
