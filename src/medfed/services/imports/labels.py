"""DICOM SEG beside the CT they were drawn on: they become the scan's mask."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.connectors.dicom.headers import guarded, quiet, read_header
from medfed.connectors.metaimage_writer import encode_volume
from medfed.connectors.scans import ScanError, read_labels
from medfed.connectors.scans.stores import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from medfed.connectors.dicom.series import Survey
    from medfed.connectors.pseudonyms import Pseudonyms
    from medfed.connectors.scans.stores import Store
    from medfed.imaging.geometry import Geometry
    from medfed.services.imports.candidate import Shelf
    from medfed.storage.catalogue import StoredObject

MODALITY = "SEG"


def labels_by_series(store: Store, found: Survey) -> dict[str, tuple[Path, ...]]:
    """Files of segmentations, by the UID of the series they refer to.

    Only in folders: in a zip they are left out.
    """
    drawn: defaultdict[str, list[Path]] = defaultdict(list)
    if not isinstance(store, Folder):
        return {}
    sizes = store.sizes()
    for series in found.series:
        if series.summary.modality != MODALITY:
            continue
        for name in series.summary.files:
            for uid in _referred(store, name, sizes[name]):
                drawn[uid].append(store.root / name)
    return {uid: tuple(files) for uid, files in drawn.items()}


def mask_of(files: tuple[Path, ...], grid: Geometry) -> NDArray[np.uint8]:
    """All that several segmentations hold, on the grid of their CT.

    Raises:
        ScanError: one cannot be read, or lies elsewhere.
    """
    mask = np.zeros(grid.shape, np.uint8)
    for file in files:
        mask |= read_labels(file, grid)
    return mask


def mask_source(mask: NDArray[np.uint8], pseudonyms: Pseudonyms) -> str:
    """By what the mask is known again."""
    return pseudonyms.content(f"mask|{hashlib.sha256(mask.tobytes()).hexdigest()}")


def add_mask(
    shelf: Shelf, mask: NDArray[np.uint8], grid: Geometry, source: str
) -> list[StoredObject]:
    """Write a mask as ``mask.mhd`` with its voxels, without any header of its origin."""
    header, voxels = encode_volume(mask, grid, "mask.raw")
    return [shelf.add("mask.mhd", header, source), shelf.add("mask.raw", voxels, source)]


def _referred(store: Store, name: str, size: int) -> list[str]:
    try:
        with quiet(), guarded("bad-header"):
            header: Any = read_header(store, name, size).dataset
            referred = header.get("ReferencedSeriesSequence") or ()
            return [str(item.SeriesInstanceUID) for item in referred]
    except ScanError:
        return []
