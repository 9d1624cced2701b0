"""A synthetic patient as a DICOM CT series, marked as synthetic wherever a reader might look.

CT Image Storage after PS3.3 A.3; UIDs are version 5 UUIDs under 2.25 (PS3.5 B.2), made from the
seed, so that the same phantom has the same UIDs everywhere.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset, FileMetaDataset

    from medfed.connectors.phantom.scanner import Scanner
    from medfed.imaging.geometry import Volume

NOTICE = "SYNTHETIC: drawn by a program (medfed data phantom), shows no person; no clinical use"
INTERCEPT = -1024
DAY = "20200101"
"""Not when it was made: the same phantom has the same bytes."""
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "medfed synthetic phantom")


@dataclass(frozen=True)
class Names:
    """Who is shown, and the UIDs of study, series and frame of reference.

    Attributes:
        patient: identifier, and name.
        hospital: name of the made-up hospital.
        key: what makes UIDs of this patient differ from all others'.
    """

    patient: str
    hospital: str
    key: str

    def uid(self, what: str) -> str:
        """A UID under 2.25, always the same for the same names."""
        return f"2.25.{uuid.uuid5(NAMESPACE, f'{self.key}/{what}').int}"

    @property
    def series(self) -> str:
        """SeriesInstanceUID."""
        return self.uid("series")


def dicom_slices(volume: Volume, scanner: Scanner, names: Names) -> Iterator[bytes]:
    """Every slice as a DICOM file, from the feet up.

    Args:
        volume: axial, LPS, int16 HU.
        scanner: what scanned it.
        names: the patient's.
    """
    for number in range(len(volume.hu)):
        data = _shared(volume, scanner, names)
        _slice(data, volume, names, number)
        buffer = BytesIO()
        data.file_meta = _meta(data.SOPInstanceUID)
        data.save_as(buffer, enforce_file_format=True)
        yield buffer.getvalue()


def _meta(instance: str) -> FileMetaDataset:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(instance)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(f"2.25.{NAMESPACE.int}")
    meta.ImplementationVersionName = "MEDFED_PHANTOM"
    return meta


def _shared(volume: Volume, scanner: Scanner, names: Names) -> Dataset:
    """What all slices of a series have in common."""
    from pydicom.dataset import Dataset

    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    _describe_patient(data, names)
    _describe_series(data, scanner, names)
    _describe_pixels(data, volume, scanner)
    return data


def _describe_patient(data: Dataset, names: Names) -> None:
    data.PatientName = "SYNTHETIC^PHANTOM"
    data.PatientID = names.patient[:64]
    data.PatientBirthDate = ""
    data.PatientSex = ""
    data.QualityControlSubject = "YES"
    data.PatientComments = NOTICE
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = "Synthetic: no person was scanned"
    data.StudyInstanceUID = names.uid("study")
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = DAY
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = "120000"
    data.StudyID = "1"
    data.StudyDescription = "SYNTHETIC chest CT"
    data.AccessionNumber = ""
    data.ReferringPhysicianName = ""


def _describe_series(data: Dataset, scanner: Scanner, names: Names) -> None:
    data.Modality = "CT"
    data.Manufacturer = "medfed (synthetic)"
    data.ManufacturerModelName = scanner.name[:64]
    data.InstitutionName = f"SYNTHETIC {names.hospital}"[:64]
    data.SeriesInstanceUID = names.series
    data.SeriesNumber = "1"
    data.AcquisitionNumber = "1"
    data.SeriesDescription = f"SYNTHETIC chest {scanner.kernel}"[:64]
    data.BodyPartExamined = "CHEST"
    data.PatientPosition = "HFS"
    data.KVP = "120"
    data.ConvolutionKernel = scanner.kernel[:16]
    if scanner.contrast_hu:
        data.ContrastBolusAgent = "SYNTHETIC"
    data.FrameOfReferenceUID = names.uid("frame")
    data.PositionReferenceIndicator = ""


def _describe_pixels(data: Dataset, volume: Volume, scanner: Scanner) -> None:
    from pydicom.uid import CTImageStorage

    dz, dy, dx = volume.spacing_mm
    data.SOPClassUID = CTImageStorage
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.ImageComments = NOTICE
    data.BurnedInAnnotation = "NO"
    data.SliceThickness = _decimal(dz * scanner.thickness)
    data.PixelSpacing = [_decimal(dy), _decimal(dx)]
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = volume.hu.shape[1:]
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = 1
    if scanner.padding is not None:
        data.PixelPaddingValue = scanner.padding - INTERCEPT
    data.RescaleIntercept, data.RescaleSlope = str(INTERCEPT), "1"
    data.RescaleType = "HU"
    data.WindowCenter, data.WindowWidth = "-600", "1500"


def _slice(data: Dataset, volume: Volume, names: Names, number: int) -> None:
    x, y, z = volume.geometry.to_world((number, 0, 0))
    matrix = np.asarray(volume.direction)
    data.SOPInstanceUID = names.uid(f"slice {number}")
    data.InstanceNumber = str(number + 1)
    data.ImagePositionPatient = [_decimal(float(v)) for v in (x, y, z)]
    data.ImageOrientationPatient = [_decimal(float(v)) for v in (*matrix[:, 0], *matrix[:, 1])]
    data.SliceLocation = _decimal(float(z))
    # HU + 1024 fits: HU ends at 3071, padding begins at -3024.
    stored = volume.hu[number].astype("<i2") - np.int16(INTERCEPT)
    data.PixelData = stored.astype("<i2", copy=False).tobytes()


def _decimal(value: float) -> str:
    """A decimal string, at most 16 characters."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
