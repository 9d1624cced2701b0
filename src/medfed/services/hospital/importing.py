"""The import itself, in a process of its own."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from medfed.core.errors import DataError
from medfed.core.files import sync
from medfed.services.hospital.laying import laid_out
from medfed.services.hospital.parts import FILES, PARTS, names_in, seal_job, write_names
from medfed.services.hospital.tables import take_tables
from medfed.services.imports import ImportOptions, import_scans
from medfed.services.imports.place import open_catalogue
from medfed.services.sites import site_vault
from medfed.services.viewing.preparing import prepare
from medfed.services.viewing.views import Views
from medfed.storage.database.tables import UploadRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from medfed.core.vault import Vault
    from medfed.services.hospital.work import Work


def run_import(work: Work) -> dict[str, Any]:
    """Take in what was sent.

    The files stay where something was refused, for another try, and are removed otherwise.
    """
    with _laid_out(work) as files:
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


@contextmanager
def _laid_out(work: Work) -> Iterator[Path]:
    """The files under their names: moved there, or shown there where they are sealed."""
    vault = site_vault(work.site)
    if not vault.sealed:
        yield _lay_out(work)
        return
    seal_job(work.folder, vault)
    names = _named(work, vault)
    with laid_out(work.folder, names, vault) as files:
        yield files


def _lay_out(work: Work) -> Path:
    """Move each file to where it belongs; what a process before this one moved stays."""
    files = work.folder / FILES
    for row in _rows(work):
        part, target = work.folder / PARTS / row.id, files / row.name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if part.exists():
            part.rename(target)
            sync(target.parent)
    _forget_rows(work)
    return files


def _named(work: Work, vault: Vault) -> dict[str, tuple[str, int]]:
    """Name and length of each file, which are kept with them from now on."""
    names = names_in(work.folder, vault)
    if rows := _rows(work):
        names |= {row.id: (row.name, row.length) for row in rows}
        write_names(work.folder, names, vault)
        _forget_rows(work)
    return names


def _rows(work: Work) -> Sequence[UploadRow]:
    with work.jobs.database.read() as session:
        query = select(UploadRow).where(UploadRow.job_id == work.job.id)
        return session.scalars(query).all()


def _forget_rows(work: Work) -> None:
    with work.jobs.database.write() as session:
        session.execute(delete(UploadRow).where(UploadRow.job_id == work.job.id))


def _within(files: Path, path: str) -> str:
    """A file as whoever sent it knows it."""
    return path.removeprefix(f"{files}/")
