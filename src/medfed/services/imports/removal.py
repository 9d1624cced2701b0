"""Taking a scan out of a site: its files, its row, its findings, the link to who it was."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from medfed.core.errors import DataError
from medfed.core.files import sync
from medfed.services.imports.findings import forget_scan
from medfed.services.imports.place import open_place
from medfed.services.trouble import Missing
from medfed.storage import links

if TYPE_CHECKING:
    from medfed.services.imports.place import Place
    from medfed.storage.catalogue import CataloguedScan


def remove_scan(site: Path, scan: str) -> CataloguedScan:
    """Remove a scan. Files go first: whenever this is stopped, the same again ends it.

    Args:
        site: the site's own folder.
        scan: its name.

    Returns:
        The row that it had.

    Raises:
        Missing: there is none of this name.
        SiteError: an import is at work.
        DataError: the disk refuses.
    """
    with open_place(site) as place:
        row = place.catalogue.find(scan)
        if row is None:
            raise Missing("there is no such scan", remedy="Look at the list of scans")
        try:
            _take_away(place, row)
            forget_scan(place.scans, scan, place.keeps)
            links.forget(site, place.vault, scan)
        except OSError as error:
            message = f"the scan cannot be removed: {error.strerror}"
            raise DataError(message, remedy="Check the folder's owner and its disk") from error
        place.catalogue.remove(scan)
    return row


def _take_away(place: Place, row: CataloguedScan) -> None:
    """Out of the patients' folders in one step, then off the disk with the folder aside."""
    target = place.folder_of(row.patient, row.scan)
    if not target.exists():
        return
    away = Path(tempfile.mkdtemp(dir=place.aside))
    if any(other != target for other in target.parent.iterdir()):
        target.rename(away / "scan")
        sync(target.parent)
    else:  # a patient without a scan would count as one
        target.parent.rename(away / "patient")
    sync(place.scans)
    shutil.rmtree(away)
