"""Where a site keeps its scans, and how a scan gets there whole or not at all.

::

    site.toml                    its `data` names the folder of the data
    pseudonyms.key               the key of all pseudonyms; 0600
    catalogue.sqlite             what is there; 0600
    links.jsonl                  who is who, where the hospital asked for it; 0600
    imports/TIME.json            what an import refused, with file names; 0600
                                 in an encrypted folder these four are encrypted
    DATA/NAME/PATIENT/SCAN/ct/   a DICOM series: the source `volumes` reads it as it lies
    DATA/NAME/PATIENT/SCAN/ct.mhd, ct.raw, mask.mhd, mask.raw
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medfed.connectors.pseudonyms import KEY_FILE, Pseudonyms, open_pseudonyms
from medfed.core.errors import DataError, SiteError
from medfed.core.files import sync, write_atomic, write_json
from medfed.core.memory_folders import in_memory
from medfed.core.vault import OPEN
from medfed.federation.site_folder import SiteFolder
from medfed.services.sites import site_vault
from medfed.storage.catalogue import CATALOGUE, Catalogue, CataloguedScan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medfed.core.vault import Vault

RECORDS, LOCK = "imports", ".import.lock"
DEFAULT_DATA = "data"
ASIDE = ".incoming-"


@dataclass(frozen=True)
class Place:
    """A site while something is imported into it.

    Attributes:
        site: the site's own folder.
        name: the site's name.
        scans: the folder of its patients.
        pseudonyms: under the site's key.
        catalogue: open.
        aside: an empty folder on the disk of ``scans``, gone after the import.
        vault: how private files lie in ``site``.
        bench: an empty folder in which scans are made; in memory where they are encrypted.
        keeps: how scans lie: through the vault where they are in the site's own folder.
    """

    site: Path
    name: str
    scans: Path
    pseudonyms: Pseudonyms
    catalogue: Catalogue
    aside: Path
    vault: Vault
    bench: Path
    keeps: Vault

    def folder_of(self, patient: str, scan: str) -> Path:
        """Where a scan lies."""
        return self.scans / patient / scan

    def relative(self, patient: str, scan: str) -> str:
        """The same, from the site's data folder."""
        return f"{self.name}/{patient}/{scan}"

    def put(self, made: Path, scan: CataloguedScan) -> None:
        """Move a finished scan to its place, then catalogue it.

        A patient's folder appears with a scan in it: an empty one would count as a patient
        without a CT.

        Args:
            made: a folder under ``bench`` with the scan's files.
            scan: the row.
        """
        target = self.folder_of(scan.patient, scan.scan)
        if self.keeps.sealed:
            made = self._sealed(made, target)
        if target.exists():
            target.rename(Path(tempfile.mkdtemp(dir=self.aside)) / "old")
        if target.parent.exists():
            made.rename(target)
        else:
            patient = Path(tempfile.mkdtemp(dir=self.aside)) / scan.patient
            patient.mkdir(mode=0o700)
            made.rename(patient / scan.scan)
            patient.rename(target.parent)
        sync(target)
        sync(target.parent)
        sync(self.scans)
        self.catalogue.put(scan)

    def _sealed(self, made: Path, target: Path) -> Path:
        """The same scan on the disk of ``scans``, sealed for the place that it goes to."""
        found = Path(tempfile.mkdtemp(dir=self.aside)) / target.name
        for file in sorted(file for file in made.rglob("*") if file.is_file()):
            name = file.relative_to(made)
            (found / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.keeps.write(found / name, file.read_bytes(), place=target / name)
        shutil.rmtree(made)
        return found

    def intact(self, scan: CataloguedScan) -> bool:
        """Whether all files of a scan are there, as long as they were."""
        folder = self.folder_of(scan.patient, scan.scan)
        try:
            return all(self._size(folder / o.name) == o.bytes for o in scan.objects)
        except (OSError, DataError):
            return False

    def _size(self, file: Path) -> int:
        """Bytes of content."""
        return len(self.keeps.blob(file)) if self.keeps.seals(file) else file.stat().st_size

    def mark_synthetic(self) -> None:
        """Say beside the patients that a program drew them, so that every report says it too."""
        manifest = self.scans / "manifest.json"
        if not manifest.exists():
            write_json(manifest, {"synthetic": True})


@contextmanager
def open_place(site: Path) -> Iterator[Place]:
    """Open a site for an import; one at a time.

    Raises:
        SiteError: it is no site's folder, or another import is at work.
        DataError: its data folder or catalogue cannot be used.
    """
    settings = SiteFolder(site).settings()
    vault = site_vault(site)
    with only_one(site, LOCK):
        scans = (settings.data or site.resolve() / DEFAULT_DATA) / settings.name
        try:
            if settings.data is None:
                _settle_data(site)
            scans.mkdir(parents=True, exist_ok=True)
            _sweep(scans)
            aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=scans))
        except OSError as error:
            message = f"{scans} cannot be written: {error.strerror}"
            raise DataError(message, remedy="Check the folder's owner and its disk") from error
        try:
            pseudonyms, keeps = _pseudonyms(site, vault), keeper_of(site, scans, vault)
            with (
                Catalogue(site / CATALOGUE, pseudonyms.fingerprint(), vault) as catalogue,
                in_memory() if keeps.sealed else nullcontext(aside) as bench,
            ):
                name = settings.name
                yield Place(site, name, scans, pseudonyms, catalogue, aside, vault, bench, keeps)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def keeper_of(site: Path, scans: Path, vault: Vault) -> Vault:
    """How scans lie: sealed in the site's own folder, as they are on a disk of the hospital's."""
    return vault if scans.resolve().is_relative_to(site.resolve()) else OPEN


def list_scans(site: Path) -> tuple[Path, list[CataloguedScan]]:
    """The folder of a site's patients, and what its catalogue holds.

    Raises:
        SiteError: it is no site's folder.
        DataError: the catalogue is damaged.
    """
    with open_catalogue(site) as (scans, catalogue):
        return scans, catalogue.scans() if catalogue else []


@contextmanager
def open_catalogue(site: Path) -> Iterator[tuple[Path, Catalogue | None]]:
    """The folder of a site's patients, and its catalogue to look into; None before any import.

    Raises:
        SiteError: it is no site's folder.
        DataError: the catalogue is damaged.
    """
    settings = SiteFolder(site).settings()
    scans = (settings.data or site / DEFAULT_DATA) / settings.name
    if not (site / CATALOGUE).exists():
        yield scans, None
        return
    vault = site_vault(site)
    with Catalogue(site / CATALOGUE, _pseudonyms(site, vault).fingerprint(), vault) as catalogue:
        yield scans, catalogue


@contextmanager
def only_one(site: Path, lock: str) -> Iterator[None]:
    """Keep others from doing the same at the same time.

    Args:
        site: the site's own folder.
        lock: name of the file that is locked.

    Raises:
        SiteError: another is at work.
    """
    try:
        handle = os.open(site / lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SiteError(f"{site} cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another import into {site} is at work"
            raise SiteError(message, remedy="Wait until it has ended") from None
        yield
    finally:
        os.close(handle)


def _pseudonyms(site: Path, vault: Vault) -> Pseudonyms:
    """The site's; a key is made only where nothing was imported under another."""
    if (site / CATALOGUE).exists() and not (site / KEY_FILE).exists():
        message = f"{site / KEY_FILE} is missing, and scans were imported under it"
        remedy = "Restore it from a backup: with another, every patient would have a new name"
        raise SiteError(message, remedy=remedy)
    return open_pseudonyms(site, vault)


def _settle_data(site: Path) -> None:
    """Enter a data folder inside the site's own into ``site.toml``."""
    file = site / "site.toml"
    line = f'data = "{DEFAULT_DATA}"\n'
    # First: a line after a table's heading would belong to the table.
    write_atomic(file, line.encode() + file.read_bytes())


def _sweep(scans: Path) -> None:
    """Remove what an import that was killed left aside."""
    for left in scans.glob(f"{ASIDE}*"):
        shutil.rmtree(left, ignore_errors=True)
