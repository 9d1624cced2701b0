"""One door to a scan, whatever its form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from medfed.connectors.scans.problems import ScanError
from medfed.connectors.scans.stores import Folder, Store, is_zip, open_store
from medfed.core.memory_folders import unpacking
from medfed.core.no_pickles import unpickling_refused
from medfed.core.private_files import content, readable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medfed.connectors.dicom import DicomSeries
    from medfed.imaging.geometry import Geometry, Volume

META_IMAGE = (".mhd", ".mha")
NIFTI = (".nii", ".nii.gz")
LARGEST_UNPACKED = 8 * 1024**3
"""Bytes of a MetaImage or NIfTI that may be unpacked from a zip."""


@dataclass(frozen=True, eq=False)
class ReadScan:
    """A scan as it was read.

    Attributes:
        volume: int16 Hounsfield units, ``(z, y, x)``, LPS.
        form: ``MetaImage``, ``NIfTI`` or ``DICOM``.
        series: its headers, where it is DICOM.
        notes: what was chosen and corrected, in sentences without patient data.
    """

    volume: Volume
    form: str
    series: DicomSeries | None = None
    notes: tuple[str, ...] = ()


@unpickling_refused()
def read_scan(path: Path, series_uid: str | None = None) -> ReadScan:
    """A CT from any form that medfed reads.

    Args:
        path: a ``.mhd``, ``.mha``, ``.nii``, ``.nii.gz`` or multi-frame DICOM file, a folder of
            DICOM files (with those below it), or a zip of any of these; also a folder in which
            one zip is the only scan.
        series_uid: which DICOM series; without, the chest CT with the thinnest spacing.

    Raises:
        ScanError: there is none, or it cannot be used; under one of ``PROBLEMS``.
    """
    with readable(path, _beside) as open_:
        return _read(open_, series_uid)


def _read(path: Path, series_uid: str | None) -> ReadScan:
    form = _form(path)
    if form == "MetaImage":
        from medfed.connectors.metaimage import read_volume

        return ReadScan(read_volume(path), form)
    if form == "NIfTI":
        from medfed.connectors.nifti import read_nifti

        volume, notes = read_nifti(path)
        return ReadScan(volume, form, None, notes)
    from medfed.connectors.dicom.reading import read_from

    with open_store(path) as store:
        if (packed := _only_zip(store)) is not None:
            return read_scan(packed, series_uid)
        inner = _only_volume(store)
        if inner is None:
            volume, series, notes = read_from(store, series_uid)
            return ReadScan(volume, "DICOM", series, notes)
        if isinstance(store, Folder):
            return read_scan(store.root / inner)
        with unpacking(path) as folder:
            return read_scan(_unpacked(store, inner, folder))


@unpickling_refused()
def read_grid(path: Path) -> Geometry:
    """The grid of what `read_scan` would read, without its voxels.

    Raises:
        ScanError: see `read_scan`.
    """
    with readable(path, _beside) as open_:
        return _grid(open_)


def _grid(path: Path) -> Geometry:
    form = _form(path)
    if form == "MetaImage":
        from medfed.connectors.metaimage import read_geometry

        return read_geometry(path)
    if form == "NIfTI":
        from medfed.connectors.nifti import nifti_geometry

        return nifti_geometry(path)
    from medfed.connectors.dicom import dicom_geometry

    with open_store(path) as store:
        if (packed := _only_zip(store)) is not None:
            return read_grid(packed)
        inner = _only_volume(store)
        if inner is None:
            return dicom_geometry(path)
        if isinstance(store, Folder):
            return read_grid(store.root / inner)
    return read_scan(path).volume.geometry


@unpickling_refused()
def read_labels(path: Path, like: Geometry) -> NDArray[np.uint8]:
    """A binary mask in any form: MetaImage, NIfTI or DICOM SEG.

    Args:
        path: its file (or the folder of a DICOM SEG).
        like: the grid of the CT that it belongs to.

    Returns:
        uint8 0/1, shape ``like.shape``.

    Raises:
        ScanError: it cannot be read, or lies on another grid than ``like``.
    """
    with readable(path, _beside) as open_:
        return _labels(open_, like)


def _labels(path: Path, like: Geometry) -> NDArray[np.uint8]:
    form = _form(path)
    if form == "MetaImage":
        from medfed.connectors.metaimage import read_mask

        return read_mask(path, like)
    if form == "NIfTI":
        from medfed.connectors.nifti import read_nifti_mask

        return read_nifti_mask(path, like)
    from medfed.connectors.dicom.segmentation import read_segmentation

    return read_segmentation(path, like)


def _beside(path: Path) -> tuple[str, ...]:
    """What lies beside a scan and belongs to it, under whatever name."""
    if path.suffix.lower() != ".mhd" or not path.is_file():
        return ()
    from medfed.connectors.metaimage import voxels_beside

    return voxels_beside(content(path))


def _form(path: Path) -> str:
    """``MetaImage`` or ``NIfTI`` by the name of the file; anything else is looked into."""
    name = path.name.lower()
    if not path.is_dir():
        if name.endswith(META_IMAGE):
            return "MetaImage"
        if name.endswith(NIFTI):
            return "NIfTI"
        if path.is_file() and not path.stat().st_size:
            raise ScanError("empty-file", f"{path.name} is empty")
    return "DICOM"


def _only_volume(store: Store) -> str | None:
    """The one MetaImage or NIfTI of a folder or zip that holds no DICOM."""
    from medfed.connectors.dicom.headers import looks_like_dicom
    from medfed.connectors.dicom.series import OTHER_FORMS

    names = list(store.sizes())
    volumes = [name for name in names if name.lower().endswith((*META_IMAGE, *NIFTI))]
    others = (name for name in names if not name.lower().endswith(OTHER_FORMS))
    if not volumes or any(looks_like_dicom(store.read(name, 0, 132)) for name in others):
        return None
    if len(volumes) > 1:
        raise ScanError("several-volumes")
    return volumes[0]


def _only_zip(store: Store) -> Path | None:
    """The one zip of a folder that holds no other scan, as archives hand series out."""
    from medfed.connectors.dicom.headers import looks_like_dicom
    from medfed.connectors.dicom.series import OTHER_FORMS

    if not isinstance(store, Folder):
        return None
    names = list(store.sizes())
    zips = [name for name in names if name.lower().endswith(".zip")]
    if len(zips) != 1 or any(name.lower().endswith((*META_IMAGE, *NIFTI)) for name in names):
        return None
    others = (n for n in names if not n.lower().endswith((".zip", *OTHER_FORMS)))
    if any(looks_like_dicom(store.read(name, 0, 132)) for name in others):
        return None
    return store.root / zips[0]


def _unpacked(store: Store, name: str, folder: Path) -> Path:
    """One volume of a zip, with the files beside it, as files of their own."""
    inside = PurePosixPath(name)
    sizes = store.sizes()
    beside = [n for n in sizes if PurePosixPath(n).parent == inside.parent]
    if sum(sizes[n] for n in beside) > LARGEST_UNPACKED:
        raise ScanError("decompression-bomb")
    for other in beside:
        (folder / PurePosixPath(other).name).write_bytes(store.read(other, 0, sizes[other]))
    return folder / inside.name


__all__ = ["ReadScan", "is_zip", "read_grid", "read_labels", "read_scan"]
