"""The source ``annotated-volumes``: CT volumes with tables of what readers found in them.

The tables are LUNA16's: ``annotations.csv`` lists nodules, ``annotations_excluded.csv`` findings
that are neither to be found nor to be held against who finds them; centres are LPS, mm. They lie in
the site's folder beside its patients.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medfed.connectors.annotations import COLUMNS
from medfed.connectors.volumes import Case, Volumes, VolumeSource
from medfed.core.data import SCANS
from medfed.core.errors import DataError
from medfed.core.options import option
from medfed.core.private_files import text
from medfed.imaging.froc import Finding
from medfed.imaging.geometry import Volume

Findings = Mapping[str, tuple[Finding, ...]]
"""What was found in each series."""


@dataclass(frozen=True)
class AnnotatedVolumes:
    """CT volumes in ``SITE/PATIENT/``, with ``SITE/annotations.csv`` as in LUNA16.

    A line of a table belongs to the scan whose folder or file is called like its ``seriesuid``.
    Lines of other scans are passed over.
    """

    gives: ClassVar[str] = SCANS

    image: str = option("ct.mhd", help="File name of the CT")
    mask: str = option(
        "mask.mhd", help="File name of the mask on the CT's grid; an empty name for none"
    )
    annotations: str = option("annotations.csv", help="Table of the nodules")
    excluded: str = option(
        "annotations_excluded.csv",
        help="Table of findings that count neither way, where it is there; an empty name for none",
    )

    def __post_init__(self) -> None:
        _ = self._volumes  # checks the file names

    @property
    def _volumes(self) -> Volumes:
        return Volumes(image=self.image, mask=self.mask)

    def open(self, root: Path | None, site: str, sites: Sequence[str]) -> "AnnotatedSource":
        """List the site's patients and read its tables; see `medfed.core.data.SourceOpener`.

        Raises:
            DataError: There is no such folder or table, or a line in it is no finding.
        """
        source = self._volumes.open(root, site, sites)
        folder = (root or Path()) / site
        nodules = _read(folder / self.annotations, site, relevant=True)
        others: Findings = {}
        if self.excluded and (folder / self.excluded).exists():
            others = _read(folder / self.excluded, site, relevant=False)
        cases = {
            patient: tuple(_annotated(case, nodules, others) for case in own)
            for patient, own in source.cases.items()
        }
        scans = [case for own in cases.values() for case in own]
        if nodules and not any(case.known for case in scans):
            message = f"{self.annotations} of site {site} names none of its scans"
            remedy = "Its seriesuid must be the name of a scan's folder or file"
            raise DataError(message, remedy=remedy)
        return AnnotatedSource(source, cases, source.notice)


@dataclass(frozen=True)
class AnnotatedCase:
    """One scan of one patient, and what was found in it.

    Attributes:
        case: The scan.
        known: What the tables hold of it.
    """

    case: Case
    known: tuple[Finding, ...] = field(repr=False)

    @property
    def patient(self) -> str:
        """The patient's identifier, local to the site."""
        return self.case.patient

    def volume(self) -> Volume:
        """The CT; see `medfed.connectors.volumes.Case`."""
        return self.case.volume()

    def mask(self) -> NDArray[np.uint8]:
        """The mask; see `medfed.connectors.volumes.Case`."""
        return self.case.mask()

    def findings(self) -> tuple[Finding, ...]:
        """What was found, in world coordinates.

        Raises:
            DataError: Something was found outside of the scan.
        """
        grid = self.case.geometry
        outside = sum(not grid.contains(finding.centre_mm) for finding in self.known)
        if outside:
            message = f"site {self.case.site}: {outside} findings lie outside of a scan"
            remedy = "Coordinates are LPS in mm, as in the .mhd; check their order and signs"
            raise DataError(message, remedy=remedy)
        return self.known


@dataclass(frozen=True)
class AnnotatedSource:
    """One site's patients and their scans.

    Attributes:
        source: The scans without what was found in them.
        cases: Scans by patient.
        notice: What whoever sees figures of these patients must know; empty for nothing.
    """

    source: VolumeSource = field(repr=False)
    cases: dict[str, tuple[AnnotatedCase, ...]]
    notice: str = ""

    def patients(self) -> Sequence[str]:
        """The patients' folders, sorted."""
        return self.source.patients()

    def strata(self) -> None:
        """None: patients without a nodule are split like the others."""

    def load(self, patients: Sequence[str]) -> Sequence[AnnotatedCase]:
        """All scans of some patients, unread."""
        return [case for patient in patients for case in self.cases[patient]]


def _annotated(case: Case, nodules: Findings, others: Findings) -> AnnotatedCase:
    names = dict.fromkeys((case.path.parent.name, case.path.stem))
    found = [f for name in names for table in (nodules, others) for f in table.get(name, ())]
    return AnnotatedCase(case, tuple(found))


def _read(path: Path, site: str, *, relevant: bool) -> Findings:
    """A table by series; messages name no series, which may be called like a patient."""
    found: dict[str, list[Finding]] = {}
    try:
        with text(path, "utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                remedy = f"LUNA16's columns are {', '.join(COLUMNS)}"
                raise DataError(f"{path.name} of site {site} lacks {missing[0]}", remedy=remedy)
            for row in reader:
                where = f"{path.name} of site {site}, line {reader.line_num}"
                finding = _finding(row, where, relevant=relevant)
                found.setdefault(row["seriesuid"], []).append(finding)
    except FileNotFoundError:
        remedy = "Put LUNA16's table of the nodules there, or use the source volumes with masks"
        raise DataError(f"site {site} has no {path.name}", remedy=remedy) from None
    except (OSError, UnicodeDecodeError, csv.Error):
        message = f"{path.name} of site {site} cannot be read as a CSV table"
        raise DataError(message, remedy="Save it as CSV in UTF-8") from None
    return {series: tuple(own) for series, own in found.items()}


def _finding(row: Mapping[str, str], where: str, *, relevant: bool) -> Finding:
    try:
        x, y, z, diameter = (float(row[column]) for column in COLUMNS[1:])
    except (TypeError, ValueError):
        raise DataError(f"{where}: coordinates and diameter are numbers") from None
    # LUNA16 gives irrelevant findings of unknown size the diameter -1.
    sized = diameter > 0 or not relevant
    if not all(math.isfinite(v) for v in (x, y, z, diameter)) or not sized:
        raise DataError(f"{where}: a nodule has a finite centre and a size")
    return Finding((x, y, z), diameter, relevant)
