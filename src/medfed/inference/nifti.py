"""A mask as NIfTI, on the scan's own grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medfed.inference import RESEARCH_USE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from medfed.imaging.geometry import Geometry

SHORT_NOTICE = RESEARCH_USE.partition(".")[0]
"""What fits into the header's 80 bytes of description."""


def write_mask(path: Path, labels: NDArray[np.uint8], grid: Geometry) -> None:
    """Write labels as ``.nii.gz``.

    NIfTI's world is RAS; x and y change their sign on the way (NIfTI-1, qform and sform).

    Args:
        path: The file; its folder must exist.
        labels: Shape ``(z, y, x)``.
        grid: Where the voxels lie, LPS.
    """
    import nibabel as nib

    matrix = np.eye(4)
    columns = np.asarray(grid.direction) * np.asarray(grid.spacing_mm[::-1])
    matrix[:3, :3], matrix[:3, 3] = columns, grid.origin_mm
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    image = nib.Nifti1Image(labels.transpose(2, 1, 0), affine, dtype=np.uint8)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = SHORT_NOTICE.encode()[:80]
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nib.save(image, path)
