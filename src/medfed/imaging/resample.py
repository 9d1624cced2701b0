"""Volumes and masks on another grid, by SimpleITK."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from medfed.imaging.geometry import Geometry, Triple, Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

AIR_HU = -1024
"""What lies outside a scan, and the floor of what CT measures."""


def isotropic(geometry: Geometry, spacing_mm: float | Triple) -> Geometry:
    """The grid of another spacing that covers the same box.

    The outer faces agree (not the voxel centres), so nothing moves by half a voxel.

    Args:
        geometry: the grid to cover.
        spacing_mm: one spacing for all axes, or ``(z, y, x)``, mm.
    """
    wanted = (spacing_mm,) * 3 if isinstance(spacing_mm, int | float) else spacing_mm
    if not all(math.isfinite(s) and s > 0 for s in wanted):
        raise ValueError(f"spacing must be positive and finite, not {spacing_mm}")
    z, y, x = (max(1, round(e / s)) for e, s in zip(geometry.extent_mm, wanted, strict=True))
    old, new = np.asarray(geometry.spacing_mm), np.asarray(wanted)
    first = geometry.to_world((new / old - 1) / 2)
    return Geometry(
        (z, y, x),
        (float(wanted[0]), float(wanted[1]), float(wanted[2])),
        (float(first[0]), float(first[1]), float(first[2])),
        geometry.direction,
    )


def resample(volume: Volume, spacing_mm: float | Triple) -> Volume:
    """A CT at another spacing, linearly interpolated.

    Padding outside the reconstruction circle (-2000, -2048, -3024) is lifted to air first, so that
    it does not bleed into the picture.
    """
    return resample_to(volume, isotropic(volume.geometry, spacing_mm))


def resample_to(volume: Volume, target: Geometry) -> Volume:
    """A CT on the grid ``target``, linearly interpolated; air (-1024 HU) outside the scan."""
    sitk = _simpleitk()
    image = _image(np.maximum(volume.hu, AIR_HU), volume.geometry)
    moved = sitk.Resample(
        image, _image_like(target), sitk.Transform(), sitk.sitkLinear, AIR_HU, sitk.sitkInt16
    )
    hu = sitk.GetArrayFromImage(moved).astype(np.int16, copy=False)
    return Volume(hu, target.spacing_mm, target.origin_mm, target.direction)


def resample_mask(
    mask: NDArray[np.uint8 | np.bool_], source: Geometry, target: Geometry
) -> NDArray[np.uint8]:
    """A binary mask on another grid: linear interpolation, then half and more counts as inside.

    Args:
        mask: shape ``source.shape``; non-zero is inside.
        source: the grid of ``mask``.
        target: the grid wanted.

    Returns:
        uint8 0/1, shape ``target.shape``.
    """
    sitk = _simpleitk()
    if mask.shape != source.shape:
        raise ValueError(f"the mask has shape {mask.shape}, its grid {source.shape}")
    image = _image((mask > 0).astype(np.float32), source)
    moved = sitk.Resample(
        image, _image_like(target), sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32
    )
    return np.asarray(sitk.GetArrayViewFromImage(moved) >= 0.5, dtype=np.uint8)


def _simpleitk() -> Any:
    """SimpleITK, imported late; its methods carry no types."""
    import SimpleITK

    return SimpleITK


def _image(values: NDArray[np.generic], geometry: Geometry) -> Any:
    sitk = _simpleitk()
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection([v for row in geometry.direction for v in row])
    return image


def _image_like(geometry: Geometry) -> Any:
    sitk = _simpleitk()
    z, y, x = geometry.shape
    image = sitk.Image([x, y, z], sitk.sitkUInt8)
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection([v for row in geometry.direction for v in row])
    return image
