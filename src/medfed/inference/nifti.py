"""A mask as NIfTI, on the scan's own grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from medfed.imaging.geometry import Geometry
    from medfed.inference.model import ModelIdentity


def write_mask(path: Path, labels: NDArray[np.uint8], grid: Geometry, model: ModelIdentity) -> None:
    """Write labels as ``.nii.gz``.

    NIfTI's world is RAS; x and y change their sign on the way (NIfTI-1, qform and sform).

    Args:
        path: The file; its folder must exist.
        labels: Shape ``(z, y, x)``.
        grid: Where the voxels lie, LPS.
        model: Whose marks they are; the header says it.
    """
    import nibabel as nib

    matrix = np.eye(4)
    columns = np.asarray(grid.direction) * np.asarray(grid.spacing_mm[::-1])
    matrix[:3, :3], matrix[:3, 3] = columns, grid.origin_mm
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    image = nib.Nifti1Image(labels.transpose(2, 1, 0), affine, dtype=np.uint8)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = model.brief.encode("ascii", "replace")[:79]
    words = " ".join([*model.said, f"Model {model.sha256}, study {model.study}."])
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", words.encode()))
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nib.save(image, path)
