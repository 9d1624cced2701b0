"""Makes one scan ready to be looked at, in a process of its own; see `views`."""

from __future__ import annotations

import secrets
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from medfed.connectors.scans import read_labels, read_scan
from medfed.core.files import write_atomic, write_json
from medfed.imaging.orientation import upright
from medfed.imaging.pictures import plane_png
from medfed.services.sites import site_vault
from medfed.services.viewing.views import ABOUT, HU, MASK, WINDOWS

THUMBNAIL_PIXELS = 112


def prepare(kept: Path, folder: Path, scan: str, *, whole: bool) -> None:
    """Write a scan's thumbnail, and where ``whole`` its voxels too.

    Args:
        kept: Where pictures are kept, see `Views.kept`.
        folder: Where the scan's files lie, see `medfed.services.imports.place`.
        scan: Its name.
        whole: Whether slices are to be cut from it.

    Raises:
        ScanError: It cannot be read.
    """
    dicom = folder / "ct"
    original = read_scan(dicom if dicom.is_dir() else folder / "ct.mhd").volume
    turned = upright(original.geometry)
    volume = turned.volume(original)
    z = volume.shape[0] // 2
    spacing = volume.spacing_mm
    small = plane_png(volume.hu[z], spacing[1:], WINDOWS["lung"], longest=THUMBNAIL_PIXELS)
    thumbnails = kept / "thumbnails"
    thumbnails.mkdir(mode=0o700, exist_ok=True)
    write_atomic(thumbnails / f"{scan}.png", small, durable=False)
    if not whole:
        return
    views = kept / "views"
    views.mkdir(mode=0o700, exist_ok=True)
    made = views / f".{scan}-{secrets.token_hex(4)}"
    made.mkdir(mode=0o700)
    try:
        np.save(made / HU, np.ascontiguousarray(volume.hu), allow_pickle=False)
        if (folder / "mask.mhd").exists():
            mask = turned.view(read_labels(folder / "mask.mhd", original.geometry))
            np.save(made / MASK, np.ascontiguousarray(mask), allow_pickle=False)
        write_json(made / ABOUT, {"spacing_mm": list(spacing)}, durable=False)
        with suppress(FileExistsError):
            made.rename(views / scan)
    finally:
        shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[5:]:
        site_vault(Path(sys.argv[5]))  # the scan may be sealed
    prepare(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], whole=sys.argv[4] == "whole")
