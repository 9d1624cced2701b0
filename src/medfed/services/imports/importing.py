"""The import: everything that is given, scan by scan; what is bad stops nothing but itself."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from medfed.connectors.deidentify import Deidentifier
from medfed.connectors.scans.problems import ScanError
from medfed.connectors.scans.stores import open_store
from medfed.core.errors import DataError
from medfed.core.memory_folders import NoMemoryError
from medfed.core.private_files import content
from medfed.services.imports.findings import Findings
from medfed.services.imports.place import RECORDS, open_place
from medfed.services.imports.report import ImportReport, Trouble
from medfed.services.imports.series import series_of
from medfed.services.imports.units import DicomUnit, LostMask, Naming, TableUnit, Unit, units_of
from medfed.services.imports.volumes import volume_of
from medfed.storage import links

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from medfed.services.imports.candidate import Candidate
    from medfed.services.imports.place import Place

MANIFEST = "manifest.json"
HOW_FAR_UP = 3


@dataclass(frozen=True)
class ImportOptions:
    """What the hospital may decide about an import.

    Attributes:
        patient: what the one patient of all files is called; what they say where None.
        naming: what names the patient of a volume that is a file of its own.
        keep_characteristics: keep age, sex, size and weight in DICOM headers.
        keep_links: write down who is who, in the site's own folder.
        accept_doubts: import pictures that may show a name or a face, marked.
    """

    patient: str | None = None
    naming: Naming = "folder"
    keep_characteristics: bool = False
    keep_links: bool = False
    accept_doubts: bool = False


def import_scans(
    site: Path,
    source: Path,
    options: ImportOptions | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> ImportReport:
    """Bring the CT scans of a file, folder or zip into a site, under other names.

    Each scan is written aside, moved to its place whole, and catalogued last: whenever the import
    is stopped, a scan is there or it is not, and the same import again goes on. What was imported
    before is left as it is.

    Args:
        site: the site's own folder, with its ``site.toml``.
        source: what to import; nothing in it is changed.
        options: the hospital's decisions.
        progress: called as ``progress(scans_done, what_happened)`` after each scan.

    Raises:
        SiteError: it is no site's folder, or its key is not in order.
        DataError: there is nothing to import, or the disk refuses.
    """
    options = options or ImportOptions()
    with open_place(site) as place:
        work = _Import(place, options, ImportReport(place.name, place.scans), progress)
        try:
            for unit in units_of(source):
                work.take_unit(unit)
            work.write_findings()
            work.warn()
        except OSError as error:
            remedy = "What was imported before is kept; the same command goes on from there"
            raise DataError(f"the import stopped: {error.strerror}", remedy=remedy) from error
        finally:
            work.record()
    return work.report


class _Import:
    """One import at work."""

    def __init__(
        self,
        place: Place,
        options: ImportOptions,
        report: ImportReport,
        progress: Callable[[int, str], None] | None,
    ) -> None:
        self.place = place
        self.options = options
        self.report = report
        self._tell = progress or (lambda _count, _what: None)
        keep = options.keep_characteristics
        self._deidentifier = Deidentifier(place.pseudonyms, keep_characteristics=keep)
        self._done = 0
        self._findings = Findings()

    def take_unit(self, unit: Unit) -> None:
        """Import what one piece holds."""
        try:
            candidates = self._candidates(unit)
            while found := _next(candidates):
                what = self._take(found)
                self._done += not (isinstance(found, Trouble) and found.left_out)
                self._tell(self._done, what)
        except ScanError as error:
            self.report.troubles.append(Trouble.of(error, error.files or (str(unit.path),)))
            self._done += 1
            self._tell(self._done, error.name)

    def write_findings(self) -> None:
        """Bring LUNA16's tables along."""
        self.report.troubles += self._findings.write(self.place.scans, self.place.keeps)

    def warn(self) -> None:
        """Say what of this site is not encrypted, where the rest is."""
        taken = self.report.imported or self.report.completed
        if taken and self.place.vault.sealed and not self.place.keeps.sealed:
            self._note(
                f"The site's folder is encrypted; the scans in {self.place.scans} are not: keep "
                "them on an encrypted disk."
            )

    def record(self) -> None:
        """Write what was refused, with file names, into the site's own folder."""
        if not self.report.refused:
            return
        folder = self.place.site / RECORDS
        folder.mkdir(mode=0o700, exist_ok=True)
        file = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.json"
        self.report.record = file
        text = json.dumps(self.report.full(), indent=2, ensure_ascii=False)
        self.place.vault.write(file, f"{text}\n".encode())

    def _candidates(self, unit: Unit) -> Iterator[Candidate | Trouble]:
        if isinstance(unit, LostMask):
            yield Trouble.named("mask-without-scan", (str(unit.path),))
            return
        if isinstance(unit, TableUnit):
            self._findings.add_table(unit.path)
            return
        synthetic = _is_synthetic(unit.path)
        pseudonyms = self.place.pseudonyms
        if isinstance(unit, DicomUnit):
            with open_store(unit.path) as store:
                patient = self.options.patient
                yield from series_of(
                    store, pseudonyms, self._deidentifier, patient, synthetic=synthetic
                )
            return
        identity = self.options.patient or unit.identity(self.options.naming)
        if not unit.alone and self.options.naming == "folder" and not self.options.patient:
            self._note(
                "Volumes that lie in one folder were taken as scans of one patient; with "
                "--patient-is file each file is a patient."
            )
        yield volume_of(unit, identity, pseudonyms, synthetic=synthetic)

    def _take(self, found: Candidate | Trouble) -> str:
        """Import one scan; what happened, in a word."""
        if isinstance(found, Trouble):
            self.report.troubles.append(found)
            return found.name
        if found.doubts and not self.options.accept_doubts:
            self.report.troubles += [Trouble.named(name, found.where) for name in found.doubts]
            return found.doubts[0]
        try:
            return self._store(found)
        except ScanError as error:
            self.report.troubles.append(Trouble.of(error, error.files or found.where))
            return error.name

    def _store(self, found: Candidate) -> str:
        known = self.place.catalogue.find(found.scan)
        if known is not None:
            with _reading():
                sources = found.sources()
            if known.sources == sources and self.place.intact(known):
                self.report.unchanged.append(found.scan)
                self._link(found)
                self._findings.add_scan(found.scan, found.names)
                return "unchanged"
            if not known.sources <= sources:
                self.report.troubles.append(Trouble.named("differs-from-catalogue", found.where))
                return "differs-from-catalogue"
        made = Path(tempfile.mkdtemp(dir=self.place.bench))
        patient = self.place.pseudonyms.patient(found.identity)
        with _reading():
            row, emptied = found.write(made, self.place.relative(patient, found.scan))
        self._link(found)
        if found.synthetic:
            self.place.mark_synthetic()
        self.place.put(made, row)
        self._findings.add_scan(found.scan, found.names)
        self.report.texts_emptied += emptied
        if row.doubts:
            self.report.doubtful.append(row.scan)
        (self.report.completed if known else self.report.imported).append(row.scan)
        return "completed" if known else "imported"

    def _link(self, found: Candidate) -> None:
        """Write down who this is, once, where the hospital asked for it."""
        if not self.options.keep_links:
            return
        line = {
            "patient": self.place.pseudonyms.patient(found.identity),
            "scan": found.scan,
            "hospital_patient": found.identity,
            "hospital_scan": found.original,
        }
        links.add(self.place.site, self.place.vault, line)

    def _note(self, sentence: str) -> None:
        if sentence not in self.report.notes:
            self.report.notes.append(sentence)


def _next(candidates: Iterator[Candidate | Trouble]) -> Candidate | Trouble | None:
    with _reading():
        return next(candidates, None)


@contextmanager
def _reading() -> Iterator[None]:
    """A sealed file that was changed, or is gone, is the trouble of its own scan."""
    try:
        yield
    except (ScanError, NoMemoryError):
        raise
    except (DataError, FileNotFoundError) as error:  # whose words may name the file
        raise ScanError("unreadable-file") from error


def _is_synthetic(path: Path) -> bool:
    """Whether a manifest of the phantom lies in the folder of a file or a little above it."""
    folder = path.resolve()
    for above in [folder, *folder.parents][: HOW_FAR_UP + 1]:
        try:
            manifest = json.loads(content(above / MANIFEST))
        except (OSError, ValueError, DataError):
            continue
        if isinstance(manifest, dict) and manifest.get("synthetic") is True:
            return True
    return False
