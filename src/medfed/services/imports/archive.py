"""Import from a PACS: what is retrieved lies aside for the moment it takes to import it."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from medfed.connectors.pacs import PacsError, Query
from medfed.core.errors import DataError
from medfed.core.memory_folders import in_memory
from medfed.federation.site_folder import SiteFolder
from medfed.services.imports.importing import ImportOptions, import_scans
from medfed.services.imports.place import only_one
from medfed.services.imports.report import ImportReport, Trouble
from medfed.services.sites import site_vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from medfed.connectors.pacs import Pacs, PacsSeries

FETCHED, LOCK = ".fetched-", ".fetch.lock"


def import_from_pacs(
    site: Path,
    pacs: Pacs,
    query: Query,
    options: ImportOptions | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> ImportReport:
    """Retrieve the matching series one by one, and import each.

    Originals lie in a folder of the site that only its owner can read, in memory where the site's
    folder is encrypted, and are removed as soon as their series is imported.

    Args:
        site: the site's own folder.
        pacs: see `medfed.connectors.pacs.open_pacs`.
        query: which series.
        options: the hospital's decisions.
        progress: called as ``progress(scans_done, what_happened)``.

    Raises:
        PacsError: the PACS cannot be asked, or nothing matches.
        SiteError: it is no site's folder.
    """
    SiteFolder(site).settings()
    found = pacs.find(query)
    if not found:
        remedy = "Look what is there with `medfed data pacs find`"
        raise PacsError("not-found", "no series of the PACS matches", remedy=remedy)
    with only_one(site, LOCK):
        for left in site.glob(f"{FETCHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        reports = []
        for number, series in enumerate(found, start=1):
            reports.append(_fetched(site, pacs, series, options))
            if progress:
                progress(number, "imported" if reports[-1].imported else "seen")
    return reduce(ImportReport.plus, reports)


def _fetched(
    site: Path, pacs: Pacs, series: PacsSeries, options: ImportOptions | None
) -> ImportReport:
    """Fetch one series, import it, and remove the originals."""
    trouble = None
    try:
        with _aside(site) as folder:
            try:
                pacs.fetch(series, folder)
            except PacsError as error:
                trouble = Trouble(error.name, error.message, error.remedy, (series.series,))
            return _imported(site, folder, options, trouble)
    except OSError as error:
        message = f"what the PACS sends cannot be kept: {error.strerror}"
        remedy = "See to the disk of the site's folder; of an encrypted one, to room in /dev/shm"
        raise DataError(message, remedy=remedy) from error


@contextmanager
def _aside(site: Path) -> Iterator[Path]:
    """A folder that its owner alone can read: in memory where nothing may lie open on the disk."""
    if site_vault(site).sealed:
        with in_memory() as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix=FETCHED, dir=site) as name:  # 0700
        yield Path(name)


def _imported(
    site: Path, folder: Path, options: ImportOptions | None, trouble: Trouble | None
) -> ImportReport:
    """Import one retrieved series; half a series is none."""
    if trouble is not None:
        for file in folder.iterdir():
            file.unlink()
    report = import_scans(site, folder, options)
    if trouble is not None:
        report.troubles.append(trouble)
    return report
