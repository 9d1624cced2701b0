"""DICOM series as candidates: read through, de-identified, kept as DICOM."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from medfed.connectors.deidentify import (
    Deidentifier,
    doubts_about,
    identity_of,
    says_synthetic,
)
from medfed.connectors.dicom.headers import guarded, quiet
from medfed.connectors.dicom.reading import read_volume
from medfed.connectors.dicom.series import survey
from medfed.connectors.scans.problems import ScanError, reading
from medfed.connectors.scans.stores import Folder
from medfed.services.imports.candidate import Shelf, Written
from medfed.services.imports.labels import (
    MODALITY,
    add_mask,
    labels_by_series,
    mask_of,
    mask_source,
)
from medfed.services.imports.report import Trouble
from medfed.storage.catalogue import CataloguedScan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import FileDataset

    from medfed.connectors.dicom.series import FoundSeries
    from medfed.connectors.pseudonyms import Pseudonyms
    from medfed.connectors.scans.stores import Store
    from medfed.imaging.geometry import Geometry

FORM = "DICOM"


@dataclass
class SeriesCandidate:
    """One usable CT series; see `medfed.services.imports.candidate.Candidate`."""

    scan: str
    identity: str
    original: str
    names: tuple[str, ...]
    where: tuple[str, ...]
    doubts: tuple[str, ...]
    synthetic: bool
    store: Store
    found: FoundSeries
    pseudonyms: Pseudonyms
    deidentifier: Deidentifier
    labels: tuple[Path, ...] = ()

    @property
    def grid(self) -> Geometry:
        """Of its volume."""
        geometry = self.found.summary.geometry
        assert geometry is not None  # noqa: S101 - candidates are usable
        return geometry

    def sources(self) -> frozenset[str]:
        """Keyed digests of its objects, and of its mask."""
        own = {self._source(dataset) for dataset in self._objects()}
        if self.labels:
            own.add(mask_source(mask_of(self.labels, self.grid), self.pseudonyms))
        return frozenset(own)

    def write(self, folder: Path, relative: str) -> Written:
        """Write the de-identified objects, in the order of the slices."""
        read_volume(self.store, self.found)  # damaged pixels show themselves now, not in training
        shelf, stored, emptied = Shelf(folder), [], 0
        first: Any = None
        for number, dataset in enumerate(self._objects(), start=1):
            source = self._source(dataset)
            with guarded("bad-header"):
                emptied += self.deidentifier.clean(dataset, self.identity).texts_emptied
            stored.append(shelf.add(f"ct/{number:06d}.dcm", _encoded(dataset), source))
            first = first or dataset
        if self.labels:
            mask = mask_of(self.labels, self.grid)
            stored += add_mask(shelf, mask, self.grid, mask_source(mask, self.pseudonyms))
        row = CataloguedScan(
            scan=self.scan,
            patient=self.pseudonyms.patient(self.identity),
            folder=relative,
            form=FORM,
            imported=datetime.now(UTC).isoformat(timespec="seconds"),
            shape=self.grid.shape,
            spacing_mm=self.grid.spacing_mm,
            study_date=_text(first, "StudyDate"),
            manufacturer=_text(first, "Manufacturer"),
            model=_text(first, "ManufacturerModelName"),
            kernel=_text(first, "ConvolutionKernel"),
            mask=bool(self.labels),
            synthetic=self.synthetic,
            doubts=self.doubts,
            objects=tuple(stored),
        )
        return row, emptied

    def _objects(self) -> Iterator[FileDataset]:
        """Every object once, whole, in the order of the slices."""
        import pydicom

        files = dict.fromkeys((plane.file.name, plane.file.size) for plane in self.found.planes)
        for name, size in files:
            content = self.store.read(name, 0, size)
            with reading(name), quiet(), guarded("bad-header"):
                dataset = pydicom.dcmread(io.BytesIO(content), force=True)
            yield dataset

    def _source(self, dataset: Any) -> str:
        """Known again by identifier and pixels: archives change other parts as they hand it out."""
        with quiet(), guarded("bad-header"):
            pixels = hashlib.sha256(dataset.get("PixelData", b"")).hexdigest()
            return self.pseudonyms.content(f"{dataset.SOPInstanceUID}|{pixels}")


def series_of(
    store: Store,
    pseudonyms: Pseudonyms,
    deidentifier: Deidentifier,
    patient: str | None,
    *,
    synthetic: bool,
) -> Iterator[SeriesCandidate | Trouble]:
    """The series of a folder or zip: what can be imported, and what cannot.

    Args:
        store: where they lie.
        pseudonyms: the site's.
        deidentifier: under the same key.
        patient: what the patient is called; what the headers say where None.
        synthetic: whether a program drew them.
    """
    found = survey(store)
    labels = labels_by_series(store, found)
    scans = {series.summary.uid for series in found.series if series.summary.usable}
    used = {file for uid in scans for file in labels.get(uid, ())}
    yield from (Trouble.of(one, one.files) for one in found.problems)
    for series in found.series:
        summary = series.summary
        if not summary.usable:
            if summary.modality == MODALITY and used >= _paths(store, summary.files):
                continue
            worst = next(p for p in summary.problems if p.fatal)
            yield Trouble.of(worst, worst.files or summary.files)
            continue
        with quiet():
            headers = [plane.file.dataset for plane in series.planes]
            identities = {patient} if patient else {_identity(header) for header in headers}
            doubts = tuple(sorted({name for header in headers for name in doubts_about(header)}))
        if len(identities) > 1:
            yield Trouble.named("several-patients", summary.files)
        elif not (identity := identities.pop()):
            yield Trouble.named("no-patient", summary.files)
        else:
            yield SeriesCandidate(
                scan=pseudonyms.scan(summary.uid),
                identity=identity,
                original=summary.uid,
                names=(summary.uid,),
                where=summary.files,
                doubts=doubts,
                synthetic=synthetic or any(says_synthetic(header) for header in headers),
                store=store,
                found=series,
                pseudonyms=pseudonyms,
                deidentifier=deidentifier,
                labels=labels.get(summary.uid, ()),
            )


def _paths(store: Store, names: tuple[str, ...]) -> set[Path]:
    return {store.root / name for name in names} if isinstance(store, Folder) else set()


def _identity(header: Any) -> str:
    try:
        with guarded("bad-header"):
            return identity_of(header)
    except ScanError:
        return ""


def _encoded(dataset: FileDataset) -> bytes:
    """The bytes of a file, in the encoding of the original."""
    from pydicom.uid import UID

    buffer = io.BytesIO()
    with quiet(), guarded("bad-header"):
        implicit, little = dataset.original_encoding
        if "TransferSyntaxUID" not in dataset.file_meta:
            default = "1.2.840.10008.1.2" + ("" if implicit else ".1" if little else ".2")
            dataset.file_meta.TransferSyntaxUID = UID(default)
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    if value is None or isinstance(value, str):
        return (value or "").strip()
    try:
        return "\\".join(str(one) for one in value).strip()
    except TypeError:
        return str(value).strip()
