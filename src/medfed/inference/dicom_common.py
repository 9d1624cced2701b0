"""What the DICOM segmentation and the DICOM report share: codes, equipment, and the source series.

Codes are of SNOMED CT, DICOM's own, UCUM, and RadLex. Those for solid, part-solid and non-solid
nodules under the NCI Thesaurus's "Texture" are as in the LIDC's DICOM objects (Fedorov et al.,
"DICOM re-encoding of volumetrically annotated Lung Imaging Database Consortium (LIDC) nodules",
Medical Physics 47(11), 2020).
"""

from __future__ import annotations

import copy
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from medfed import __version__
from medfed.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from medfed.imaging.geometry import Geometry
    from medfed.inference.findings import Attenuation, Finding
    from medfed.inference.location import Third

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
_NEEDED = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID",
)  # fmt: skip
_PLACES = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
Corners = NDArray[np.float64]
"""World places of a slice's first pixel, of the last in its first row, and in its first column."""


@dataclass(frozen=True, eq=False)
class Source:
    """The series that was looked at, fit to be referred to.

    Attributes:
        images: headers without pixels: one for each slice, in the order of the volume's z, or one
            of a multi-frame image.
        frames: of a multi-frame image: for each frame the z of its slice; else empty.
    """

    images: tuple[Dataset, ...]
    frames: tuple[int, ...] = ()

    @classmethod
    def of(cls, images: Sequence[Dataset], grid: Geometry) -> Source:
        """Check that results can refer to a series voxel by voxel.

        Args:
            images: headers of single-frame images in the order of the volume's z, or the one header
                of a multi-frame image.
            grid: the volume's grid.

        Raises:
            DataError: the volume's slices are not the series' images.
        """
        first = images[0]
        missing = [name for name in _NEEDED if not first.get(name)]
        if missing:
            raise DataError(
                f"the DICOM series lacks {missing[0]}, which results would have to refer to",
                remedy="Export it again from the PACS",
            )
        several = int(first.get("NumberOfFrames") or 1) > 1
        planes = list(_frames(first)) if several else list(map(_plane, images))
        order = _order([corners[0] for corners in planes], grid) if several else range(len(planes))
        if not _same_pixels(planes, order, (first.Rows, first.Columns), grid):
            raise DataError(
                "the scan was changed when it was read, so its voxels are not the series' pixels",
                remedy="Results for it are written as NIfTI and JSON",
            )
        return cls(tuple(map(_complete, images)), tuple(order) if several else ())

    @property
    def series_uid(self) -> str:
        """The series' UID."""
        return str(self.images[0].SeriesInstanceUID)


def series_number(source: Source, nth: int) -> int:
    """A number for a series of results, near the source's own in a viewer's list."""
    own = source.images[0].get("SeriesNumber")
    return (int(own) if own else 0) * 100 + 90 + nth


def describe_series(dataset: Dataset, what: str) -> None:
    """Say in a viewer's list of series what this is, and what it is not."""
    dataset.SeriesDescription = f"{what} - research use only"


def in_words(finding: Finding) -> str:
    """A finding in a line of plain ASCII."""
    kind = "calibrated" if finding.calibrated else "uncalibrated"
    parts = [finding.place, finding.attenuation, f"{finding.diameter.mm:.1f} mm"]
    if finding.outlined:
        parts.append(f"{finding.volume_mm3:.0f} mm3")
    parts.append(f"{kind} probability {finding.probability:.2f}")
    if finding.review:
        parts.append("corrected by a reader" if finding.review.corrected else "seen by a reader")
    if not finding.outlined:
        parts.append("drawn as a ball of the reader's centre and diameter")
    return "; ".join(parts)


@dataclass(frozen=True)
class Reader:
    """Who looked the findings over and answers for what is handed on.

    Attributes:
        name: of the person.
        organisation: where they read.
    """

    name: str
    organisation: str

    @property
    def person_name(self) -> str:
        """The name as DICOM has it (VR PN, PS3.5 6.2): without what would part it."""
        return " ".join("".join(" " if c in "\\^=" else c for c in self.name).split())[:64]


def new_uid() -> str:
    """A UID that needs nobody's registration (PS3.5 B.2: 2.25 and a random UUID)."""
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=None))


def _plane(image: Dataset, place: Dataset | None = None) -> Corners:
    """Where a slice lies; its position may stand elsewhere than its size."""
    place = place or image
    across, down = np.array(place.ImageOrientationPatient, np.float64).reshape(2, 3)
    between_rows, between_columns = (float(v) for v in place.PixelSpacing)
    first = np.array(place.ImagePositionPatient, np.float64)
    right = first + (image.Columns - 1) * between_columns * across
    return np.array([first, right, first + (image.Rows - 1) * between_rows * down])


def _frames(image: Dataset) -> Iterator[Corners]:
    """Where each frame of a multi-frame image lies (functional groups, PS3.3 C.7.6.16)."""
    shared = image.get("SharedFunctionalGroupsSequence") or [Dataset()]
    for own in image.PerFrameFunctionalGroupsSequence:
        place = Dataset()
        for group in (shared[0], own):
            for name in (
                "PlanePositionSequence",
                "PlaneOrientationSequence",
                "PixelMeasuresSequence",
            ):
                for item in group.get(name) or ():
                    place.update(item)
        yield _plane(image, place)


def _order(firsts: Sequence[NDArray[np.float64]], grid: Geometry) -> list[int]:
    """For each frame the volume's slice that lies where it does."""
    return [int(np.rint(grid.to_index(first)[0])) for first in firsts]


def _same_pixels(
    planes: Sequence[Corners], order: Sequence[int], size: tuple[int, int], grid: Geometry
) -> bool:
    """Whether voxel (z, y, x) lies where pixel (y, x) of the image of that z does."""
    slices, rows, columns = grid.shape
    if size != (rows, columns) or sorted(order) != list(range(slices)):
        return False
    ours = grid.to_world([[(z, 0, 0), (z, 0, columns - 1), (z, rows - 1, 0)] for z in order])
    return bool(np.abs(ours - np.array(planes)).max() <= NEAR_MM)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of pydicom and highdicom, which quote names of patients."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _complete(header: Dataset) -> Dataset:
    """A header in which what may be empty is at least there."""
    whole = copy.copy(header)
    for name in _MAY_BE_EMPTY:
        if name not in whole:
            setattr(whole, name, "")
    return whole
