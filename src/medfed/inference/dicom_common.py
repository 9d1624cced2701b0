"""What the DICOM segmentation and the DICOM report share: codes, equipment, and the source series.

Codes are of SNOMED CT, DICOM's own, UCUM, and RadLex. Those for solid, part-solid and non-solid
nodules under the NCI Thesaurus's "Texture" are as in the LIDC's DICOM objects (Fedorov et al.,
"DICOM re-encoding of volumetrically annotated Lung Imaging Database Consortium (LIDC) nodules",
Medical Physics 47(11), 2020).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydicom.sr.coding import Code

from medfed import __version__
from medfed.core.errors import DataError
from medfed.inference import RESEARCH_USE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

    from medfed.imaging.geometry import Geometry
    from medfed.inference.findings import Attenuation, Finding
    from medfed.inference.location import Third
    from medfed.inference.model import ModelIdentity

MANUFACTURER = "medfed"
ALGORITHM = "medfed lung nodules"
VERSION = __version__
SHORT_NOTICE = "Research use only, not a medical device"
"""Fits into 64 characters."""

NODULE = Code("27925004", "SCT", "Nodule")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
LUNG = Code("39607008", "SCT", "Lung")
RIGHT, LEFT = Code("24028007", "SCT", "Right"), Code("7771000", "SCT", "Left")
ZONES: dict[Third, Code] = {
    "upper": Code("281392002", "SCT", "Upper zone of lung"),
    "middle": Code("281393007", "SCT", "Middle zone of lung"),
    "lower": Code("281394001", "SCT", "Lower zone of lung"),
}
TEXTURE = Code("C41144", "NCIt", "Texture")
TEXTURES: dict[Attenuation, Code] = {
    "solid": Code("RID50151", "RADLEX", "solid pulmonary nodule"),
    "part-solid": Code("RID50152", "RADLEX", "part-solid pulmonary nodule"),
    "ground-glass": Code("RID50153", "RADLEX", "non-solid pulmonary nodule"),
}
NEAR_MM = 0.01

_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True, eq=False)
class Source:
    """The series that was looked at, fit to be referred to.

    Attributes:
        slices: headers without pixels, in the order of the volume's z.
        grid: the volume's grid.
    """

    slices: tuple[Dataset, ...]
    grid: Geometry

    @classmethod
    def of(cls, slices: Sequence[Dataset], grid: Geometry) -> Source:
        """Check that results can refer to a series voxel by voxel.

        Args:
            slices: headers of single-frame images, in the order of the volume's z.
            grid: the volume's grid.

        Raises:
            DataError: the volume's slices are not the series' images.
        """
        first = slices[0]
        if len(slices) != grid.shape[0]:
            raise DataError(
                "the scan's slices are not single images of a DICOM series",
                remedy="Results for it are written as NIfTI and JSON",
            )
        missing = [n for n in (*_NEEDED, "FrameOfReferenceUID") if not first.get(n)]
        if missing:
            raise DataError(
                f"the DICOM series lacks {missing[0]}, which results would have to refer to",
                remedy="Export it again from the PACS",
            )
        if not _same_pixels(slices, grid):
            raise DataError(
                "the scan was resampled when it was read, so its voxels are not the series' pixels",
                remedy="Results for it are written as NIfTI and JSON",
            )
        return cls(tuple(map(_complete, slices)), grid)

    @property
    def series_uid(self) -> str:
        """The series' UID."""
        return str(self.slices[0].SeriesInstanceUID)


def notices(model: ModelIdentity) -> tuple[str, ...]:
    """What every output says."""
    return (RESEARCH_USE, *model.notices)


def series_number(source: Source, nth: int) -> int:
    """A number for a series of results, near the source's own in a viewer's list."""
    own = source.slices[0].get("SeriesNumber")
    return (int(own) if own else 0) * 100 + 90 + nth


def describe_series(dataset: Dataset, what: str) -> None:
    """Say in a viewer's list of series what this is, and what it is not."""
    dataset.SeriesDescription = f"{what} - research use only"


def in_words(finding: Finding) -> str:
    """A finding in a line of plain ASCII."""
    kind = "calibrated" if finding.calibrated else "uncalibrated"
    return (
        f"{finding.place}; {finding.attenuation}; {finding.diameter.mm:.1f} mm; "
        f"{finding.volume_mm3:.0f} mm3; {kind} probability {finding.probability:.2f}"
    )


def new_uid() -> str:
    """A UID that needs nobody's registration (PS3.5 B.2: 2.25 and a random UUID)."""
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=None))


def _same_pixels(slices: Sequence[Dataset], grid: Geometry) -> bool:
    """Whether voxel (z, y, x) lies where pixel (y, x) of image z does."""
    _, rows, columns = grid.shape
    corners = [(0, 0), (0, columns - 1), (rows - 1, 0)]
    ours = grid.to_world([[(z, y, x) for y, x in corners] for z in range(len(slices))])
    theirs = []
    for header in slices:
        if (header.Rows, header.Columns) != (rows, columns):
            return False
        along = np.array(header.ImageOrientationPatient, np.float64).reshape(2, 3)
        down, across = (float(v) for v in header.PixelSpacing)
        first = np.array(header.ImagePositionPatient, np.float64)
        theirs.append([first + x * across * along[0] + y * down * along[1] for y, x in corners])
    return bool(np.abs(ours - np.array(theirs)).max() <= NEAR_MM)


def _complete(header: Dataset) -> Dataset:
    """A header in which what may be empty is at least there."""
    whole = copy.copy(header)
    for name in _MAY_BE_EMPTY:
        if name not in whole:
            setattr(whole, name, "")
    return whole
