"""DICOM: the series of a folder or zip, their geometry, and their voxels.

`find_series` lists what is there; `read_dicom` reads one; `segmentation` reads labels.
"""

from medfed.connectors.dicom.reading import dicom_geometry, read_dicom
from medfed.connectors.dicom.series import (
    DicomSeries,
    FoundSeries,
    SeriesSummary,
    Survey,
    find_series,
    survey,
)

__all__ = [
    "DicomSeries",
    "FoundSeries",
    "SeriesSummary",
    "Survey",
    "dicom_geometry",
    "find_series",
    "read_dicom",
    "survey",
]
