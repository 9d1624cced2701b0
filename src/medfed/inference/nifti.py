"""A mask as NIfTI, on the scan's own grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

    image = nib.Nifti1Image(labels.transpose(2, 1, 0), affine(grid), dtype=np.uint8)
    _place(image, grid)
    image.header["descrip"] = model.brief.encode("ascii", "replace")[:79]
    words = " ".join([*model.said, f"Model {model.sha256}, study {model.study}."])
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", words.encode()))
    nib.save(image, path)


def write_ct(path: Path, hu: NDArray[np.int16], grid: Geometry) -> None:
    """Write Hounsfield units as ``.nii.gz``; the header says nothing but where the voxels lie.

    Args:
        path: The file; its folder must exist.
        hu: Shape ``(z, y, x)``.
        grid: Where the voxels lie, LPS.
    """
    import nibabel as nib

    image = nib.Nifti1Image(hu.transpose(2, 1, 0), affine(grid), dtype=np.int16)
    _place(image, grid)
    nib.save(image, path)


def affine(grid: Geometry) -> NDArray[np.float64]:
    """From a NIfTI's voxel indices ``(x, y, z)`` to its world, RAS."""
    matrix = np.eye(4)
    columns = np.asarray(grid.direction) * np.asarray(grid.spacing_mm[::-1])
    matrix[:3, :3], matrix[:3, 3] = columns, grid.origin_mm
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix)


def _place(image: Any, grid: Geometry) -> None:
    image.header.set_xyzt_units("mm")
    image.set_sform(affine(grid), code=1)
    image.set_qform(affine(grid), code=1)
