"""One hospital's folder: its patients' volumes, and the tables about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfed.connectors.annotations import Annotation, annotations_csv
from medfed.connectors.phantom.dicom import Names, dicom_slices
from medfed.connectors.phantom.mimics import IRRELEVANT, Mimic
from medfed.connectors.phantom.nodules import Nodule
from medfed.connectors.phantom.patient import Patient, draw_patient
from medfed.connectors.phantom.scanner import Scanner, scanner_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medfed.imaging.geometry import Geometry, Triple

README = """\
EVERYTHING IN THIS FOLDER IS SYNTHETIC.

These thorax CTs were drawn by a program (medfed data phantom). They show no person, living or dead.
They exist to try out software: a figure obtained on them says nothing about how a model would do on
patients, and must not be used for any clinical purpose.

{hospital}: {patients} patients, size "{size}", seed {seed}, scanner "{scanner}", kernel "{kernel}".

  <patient>/ct.mhd, ct.raw      the CT, int16 Hounsfield units, LPS, mm
  <patient>/mask.mhd, mask.raw  the nodules, uint8 0/1, on the same grid
  <patient>/dicom/*.dcm         the same CT as a DICOM series, if that was asked for
  annotations.csv               LUNA16's columns; seriesuid is the patient's folder; centres in mm
  annotations_excluded.csv      findings that are no nodules and count neither way, as in LUNA16
  nodules.csv                   the same nodules with what they are made of and what they touch
  mimics.csv                    all that looks like a nodule and is none; none of it in a mask
  patients.csv                  the patients
  scanner.json                  how this hospital scans
"""


@dataclass(frozen=True)
class Job:
    """One patient to draw.

    Attributes:
        root: the phantom's folder while it is being made.
        hospital_number: place in the list of hospitals, from 0.
        hospital: its name.
        number: the patient's, from 1.
        size: ``small`` or ``full``.
        seed: the phantom's.
        dicom: whether to write a DICOM series, too.
    """

    root: Path
    hospital_number: int
    hospital: str
    number: int
    size: str
    seed: int
    dicom: bool

    @property
    def who(self) -> str:
        """The patient's identifier and folder."""
        return f"{self.hospital}-{self.number:04d}"

    @property
    def scanner(self) -> Scanner:
        """The hospital's."""
        return scanner_of(self.hospital_number, self.hospital, self.seed)

    @property
    def names(self) -> Names:
        """The patient's, for DICOM."""
        key = f"{self.seed}/{self.hospital_number}/{self.hospital}/{self.number}/{self.size}"
        return Names(self.who, self.hospital, key)


@dataclass(frozen=True)
class Drawn:
    """What is left to tell of a patient whose volumes are written.

    Attributes:
        who: the patient.
        nodules: in world coordinates.
        mimics: likewise.
        files: SHA-256 of each file by its name in the phantom's folder.
    """

    who: str
    nodules: tuple[Nodule, ...]
    mimics: tuple[Mimic, ...]
    files: dict[str, str] = field(repr=False)


def draw(job: Job) -> Drawn:
    """Draw one patient and write the volumes."""
    patient = draw_patient(job.seed, job.hospital, job.number, job.scanner, job.size)
    files = _write_volumes(job, patient)
    if job.dicom:
        slices = dicom_slices(patient.volume, job.scanner, job.names)
        for number, content in enumerate(slices, start=1):
            name = f"{job.hospital}/{job.who}/dicom/{number:04d}.dcm"
            files[name] = put(job.root, name, content)
    return Drawn(job.who, patient.nodules, patient.mimics, files)


def _write_volumes(job: Job, patient: Patient) -> dict[str, str]:
    grid = patient.volume.geometry
    pictures: tuple[tuple[str, str, NDArray[np.generic]], ...] = (
        ("ct", "MET_SHORT", patient.volume.hu.astype("<i2", copy=False)),
        ("mask", "MET_UCHAR", patient.mask),
    )
    files = {}
    for name, kind, values in pictures:
        path = f"{job.hospital}/{job.who}/{name}"
        files[f"{path}.mhd"] = put(job.root, f"{path}.mhd", _header(grid, kind, f"{name}.raw"))
        files[f"{path}.raw"] = put(job.root, f"{path}.raw", values.tobytes())
    return files


def write_tables(job: Job, patients: Sequence[Drawn]) -> dict[str, str]:
    """Write a hospital's tables.

    Args:
        job: of one of its patients.
        patients: all of them, in order.

    Returns:
        SHA-256 of all files of the hospital, the patients' too.
    """
    found = [Annotation(p.who, n.centre, n.diameter_mm) for p in patients for n in p.nodules]
    kinds = [(n.kind, n.place) for p in patients for n in p.nodules]
    decoys = [Annotation(p.who, m.centre, m.diameter_mm) for p in patients for m in p.mimics]
    decoy_kinds = [m.kind for p in patients for m in p.mimics]
    excluded = [d for d, kind in zip(decoys, decoy_kinds, strict=True) if kind in IRRELEVANT]
    scanner = job.scanner
    text = README.format(
        hospital=job.hospital,
        patients=len(patients),
        size=job.size,
        seed=job.seed,
        scanner=scanner.name,
        kernel=scanner.kernel,
    )
    tables = {
        "annotations.csv": annotations_csv(found),
        "annotations_excluded.csv": annotations_csv(excluded),
        "nodules.csv": _with_columns(found, "kind,place", [",".join(k) for k in kinds]),
        "mimics.csv": _with_columns(decoys, "kind", decoy_kinds),
        "patients.csv": _patients_csv(job, patients),
        "scanner.json": json.dumps(scanner.describe(), indent=1) + "\n",
        "README.txt": text,
    }
    files = {name: digest for p in patients for name, digest in p.files.items()}
    for name, content in tables.items():
        path = f"{job.hospital}/{name}"
        files[path] = put(job.root, path, content.encode())
    return files


def described_mimics(patient: Drawn) -> list[dict[str, Any]]:
    """A patient's mimics as plain values, for the manifest."""
    return [
        {
            "series": patient.who,
            "kind": mimic.kind,
            "centre_mm": _rounded(mimic.centre),
            "diameter_mm": round(mimic.diameter_mm, 3),
            "excluded": mimic.kind in IRRELEVANT,
        }
        for mimic in patient.mimics
    ]


def _rounded(point: Triple) -> list[float]:
    return [round(c, 3) for c in point]


def _with_columns(rows: Sequence[Annotation], columns: str, values: Sequence[str]) -> str:
    """LUNA16's table with more columns."""
    header, *lines = annotations_csv(rows).splitlines()
    wider = [f"{line},{value}" for line, value in zip(lines, values, strict=True)]
    return "\n".join([f"{header},{columns}", *wider]) + "\n"


def _patients_csv(job: Job, patients: Sequence[Drawn]) -> str:
    lines = ["patient_id,folder" + (",series_uid" if job.dicom else "")]
    for number, patient in enumerate(patients, start=1):
        names = Job(
            job.root, job.hospital_number, job.hospital, number, job.size, job.seed, job.dicom
        ).names
        uid = f",{names.series}" if job.dicom else ""
        lines.append(f"{patient.who},{patient.who}{uid}")
    return "\n".join(lines) + "\n"


def _header(grid: Geometry, kind: str, data: str) -> bytes:
    def words(values: Sequence[float]) -> str:
        return " ".join(f"{v:.10g}" for v in values)

    columns = [row[axis] for axis in range(3) for row in grid.direction]
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "Comment = synthetic phantom, shows no person",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = False",
        f"TransformMatrix = {words(columns)}",
        f"Offset = {words(grid.origin_mm)}",
        "CenterOfRotation = 0 0 0",
        "AnatomicalOrientation = RAI",
        f"ElementSpacing = {words(grid.spacing_mm[::-1])}",
        f"DimSize = {words(grid.shape[::-1])}",
        f"ElementType = {kind}",
        f"ElementDataFile = {data}",
    ]
    return ("\n".join(lines) + "\n").encode()


def put(root: Path, name: str, content: bytes) -> str:
    """Write a file in the phantom's folder; its SHA-256."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
