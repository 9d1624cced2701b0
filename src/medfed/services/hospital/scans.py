"""The scans of a hospital: listed, found, looked at, deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medfed.services.accounts import Identity, Subject, require
from medfed.services.audit import record
from medfed.services.imports.place import open_catalogue
from medfed.services.imports.removal import remove_scan
from medfed.services.inference.forgetting import forget_scan
from medfed.services.trouble import Missing
from medfed.storage.catalogue import Counts

if TYPE_CHECKING:
    from pathlib import Path

    from medfed.services.viewing.views import View, Views
    from medfed.storage.catalogue import ListedScan
    from medfed.storage.database import Database


@dataclass(frozen=True, slots=True)
class Scans:
    """What the catalogue of one hospital holds.

    Attributes:
        site: The site's own folder.
        database: The console's, for the record.
        views: Where scans are made ready.
    """

    site: Path
    database: Database
    views: Views

    def list(
        self, words: str = "", *, offset: int = 0, limit: int = 50
    ) -> tuple[list[ListedScan], int]:
        """Scans by patient, and how many there are in all; see `Catalogue.page`."""
        with open_catalogue(self.site) as (_folder, catalogue):
            return catalogue.page(words, offset=offset, limit=limit) if catalogue else ([], 0)

    def counts(self) -> Counts:
        """How much there is."""
        with open_catalogue(self.site) as (_folder, catalogue):
            return catalogue.counts() if catalogue else Counts()

    def find(self, scan: str) -> ListedScan:
        """One scan.

        Raises:
            Missing: There is none of this name.
        """
        with open_catalogue(self.site) as (_folder, catalogue):
            row = catalogue.listed(scan) if catalogue else None
        if row is None:
            raise Missing("there is no such scan", remedy="Look at the list of scans")
        return row

    def view(self, scan: str) -> View:
        """A scan to be looked at.

        Raises:
            Missing: There is none of this name.
            Refused: It cannot be read any more.
        """
        return self.views.open(scan, self._folder(scan))

    def thumbnail(self, scan: str) -> bytes:
        """A small picture of a scan, PNG.

        Raises:
            Missing: There is none of this name.
            Refused: It cannot be read any more.
        """
        return self.views.thumbnail(scan, self._folder(scan))

    def delete(self, by: Identity, scan: str) -> None:
        """Delete a scan, its findings, and what was made of it.

        Raises:
            AccessError: ``by`` may not.
            Missing: There is none of this name.
            SiteError: An import is at work.
        """
        require(self.database, by, "data.delete", Subject(f"scan {scan}"))
        row = remove_scan(self.site, scan)
        self.views.forget(scan)
        forget_scan(self.database, self.views.console, scan)
        with self.database.write() as session:
            record(session, by, "data.delete", f"scan {scan}", reason=f"of {row.patient}")

    def _folder(self, scan: str) -> Path:
        row = self.find(scan).scan
        with open_catalogue(self.site) as (patients, _catalogue):
            return patients / row.patient / row.scan
