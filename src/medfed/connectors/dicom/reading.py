"""One DICOM series as a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medfed.connectors.dicom.choice import choose
from medfed.connectors.dicom.pixels import read_pixels
from medfed.connectors.dicom.series import DicomSeries, FoundSeries, survey
from medfed.connectors.scans.stores import open_store
from medfed.imaging.geometry import Volume

if TYPE_CHECKING:
    from pathlib import Path

    from medfed.connectors.scans.stores import Store
    from medfed.imaging.geometry import Geometry


def read_dicom(
    path: Path, series_uid: str | None = None
) -> tuple[Volume, DicomSeries, tuple[str, ...]]:
    """The chest CT of a folder, zip or multi-frame file.

    Args:
        path: where it lies.
        series_uid: which series; without, see `medfed.connectors.dicom.choice.choose`.

    Returns:
        The volume, its headers, and notes: what was chosen and corrected, in sentences.

    Raises:
        ScanError: there is none, or it cannot be used.
    """
    with open_store(path) as store:
        return read_from(store, series_uid)


def read_from(
    store: Store, series_uid: str | None = None
) -> tuple[Volume, DicomSeries, tuple[str, ...]]:
    """As `read_dicom`, from an open folder or zip."""
    everything = survey(store)
    found, reason = choose(everything, series_uid)
    volume = read_volume(store, found)
    headers = {id(plane.file): plane.file.dataset for plane in found.planes}
    series = DicomSeries(found.summary.uid, tuple(headers.values()))
    lost = [f"Left out: {p.message}." for p in everything.problems if p.fatal]
    return volume, series, (*notes_of(found, reason), *lost)


def read_volume(store: Store, found: FoundSeries) -> Volume:
    """The voxels of a series that a survey of the same store found.

    Raises:
        ScanError: it is not usable, or its pixels are not what its headers say.
    """
    from medfed.connectors.scans.problems import as_error

    grid = found.summary.geometry
    if grid is None:
        raise as_error(next(p for p in found.summary.problems if p.fatal))
    hu = read_pixels(store, found.planes)
    return Volume(hu, grid.spacing_mm, grid.origin_mm, grid.direction)


def dicom_geometry(path: Path, series_uid: str | None = None) -> Geometry:
    """The grid of the volume that `read_dicom` would read, from the headers alone.

    Raises:
        ScanError: see `read_dicom`.
    """
    with open_store(path) as store:
        found, _ = choose(survey(store), series_uid)
    assert found.summary.geometry is not None  # noqa: S101 - choose gives usable ones only
    return found.summary.geometry


def notes_of(found: FoundSeries, reason: str) -> tuple[str, ...]:
    """What a person should know about how a series was read."""
    notes = [reason, *found.summary.notes]
    notes += [f"{str(p).rstrip('.')}." for p in found.summary.problems]
    if any(plane.layout.photometric == "MONOCHROME1" for plane in found.planes):
        notes.append("The slices are stored for an inverted display; their values are as usual.")
    if any(plane.file.dataset.get("LossyImageCompression") == "01" for plane in found.planes):
        notes.append("The pixels were compressed with loss of detail.")
    return tuple(note for note in notes if note)
