"""The scans of a hospital: listed, found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medfed.services.imports.place import open_catalogue
from medfed.services.trouble import Missing
from medfed.storage.catalogue import Counts

if TYPE_CHECKING:
    from pathlib import Path

    from medfed.storage.catalogue import CataloguedScan, ListedScan


@dataclass(frozen=True, slots=True)
class Scans:
    """What the catalogue of one hospital holds.

    Attributes:
        site: The site's own folder.
    """

    site: Path

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

    def find(self, scan: str) -> CataloguedScan:
        """One scan.

        Raises:
            Missing: There is none of this name.
        """
        with open_catalogue(self.site) as (_folder, catalogue):
            row = catalogue.find(scan) if catalogue else None
        if row is None:
            raise Missing("there is no such scan", remedy="Look at the list of scans")
        return row

    def folder(self, row: CataloguedScan) -> Path:
        """Where a scan's files lie."""
        with open_catalogue(self.site) as (patients, _catalogue):
            return patients / row.patient / row.scan
