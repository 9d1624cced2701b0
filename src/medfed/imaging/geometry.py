"""Where a voxel is in the patient: volumes, and index <-> world coordinates.

Two orders meet here and are never mixed silently:

- *index* order is NumPy's, ``(z, y, x)``, in voxels; voxel centres are integers;
- *world* order is DICOM's and MetaImage's, ``(x, y, z)``, in mm, LPS
  (x to the patient's left, y to the back, z to the head).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Triple = tuple[float, float, float]
Matrix = tuple[Triple, Triple, Triple]

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Geometry:
    """The grid of a volume, without its values.

    Attributes:
        shape: voxels along ``(z, y, x)``.
        spacing_mm: distance between voxel centres along ``(z, y, x)``, mm, all > 0.
        origin_mm: world ``(x, y, z)`` of the centre of voxel ``(0, 0, 0)``, mm, LPS.
        direction: orthonormal matrix, row by row, whose *columns* are the world directions of the
            x, y and z index axes (ITK's convention).
    """

    shape: tuple[int, int, int]
    spacing_mm: Triple
    origin_mm: Triple = (0.0, 0.0, 0.0)
    direction: Matrix = IDENTITY

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ValueError(
                f"a volume needs at least one voxel along every axis, not {self.shape}"
            )
        if not all(np.isfinite(s) and s > 0 for s in self.spacing_mm):
            raise ValueError(f"voxel spacing must be positive and finite, not {self.spacing_mm}")
        if not np.isfinite(self.origin_mm).all():
            raise ValueError(f"the origin must be finite, not {self.origin_mm}")
        matrix = np.asarray(self.direction, dtype=np.float64)
        if matrix.shape != (3, 3) or not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-4):
            raise ValueError("the direction matrix must be orthonormal (no shear, no gantry tilt)")

    def to_world(self, index_zyx: ArrayLike) -> NDArray[np.float64]:
        """World ``(x, y, z)`` in mm of (fractional) voxel indices.

        Args:
            index_zyx: shape (..., 3), order ``(z, y, x)``.

        Returns:
            Shape (..., 3), order ``(x, y, z)``, mm.
        """
        index = np.asarray(index_zyx, dtype=np.float64)
        steps = (index * np.asarray(self.spacing_mm))[..., ::-1]
        return np.asarray(steps @ np.asarray(self.direction).T + np.asarray(self.origin_mm))

    def to_index(self, world_xyz: ArrayLike) -> NDArray[np.float64]:
        """Fractional voxel indices ``(z, y, x)`` of world points; the inverse of `to_world`.

        Args:
            world_xyz: shape (..., 3), order ``(x, y, z)``, mm.

        Returns:
            Shape (..., 3), order ``(z, y, x)``, voxels.
        """
        offset = np.asarray(world_xyz, dtype=np.float64) - np.asarray(self.origin_mm)
        steps = offset @ np.linalg.inv(np.asarray(self.direction)).T
        return np.asarray(steps[..., ::-1] / np.asarray(self.spacing_mm))

    def contains(self, world_xyz: ArrayLike) -> NDArray[np.bool_]:
        """Whether world points fall in the volume (to the outer faces of its voxels)."""
        index = self.to_index(world_xyz)
        inside = (index >= -0.5) & (index <= np.asarray(self.shape) - 0.5)
        return np.asarray(inside.all(axis=-1))

    def matches(self, other: Geometry, tolerance_mm: float = 0.01) -> bool:
        """Whether both grids put every voxel at the same place, to ``tolerance_mm``."""
        if self.shape != other.shape:
            return False
        # Affine maps that agree on the corners of a box agree in all of it.
        corners = np.array([[z, y, x] for z in (0, 1) for y in (0, 1) for x in (0, 1)])
        corners = corners * (np.asarray(self.shape) - 1)
        return bool(np.abs(self.to_world(corners) - other.to_world(corners)).max() <= tolerance_mm)

    @property
    def extent_mm(self) -> Triple:
        """Size of the volume along ``(z, y, x)``, mm."""
        z, y, x = (n * s for n, s in zip(self.shape, self.spacing_mm, strict=True))
        return z, y, x


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume in Hounsfield units, with its place in the patient.

    Attributes:
        hu: int16, shape ``(z, y, x)``.
        spacing_mm: along ``(z, y, x)``, mm.
        origin_mm: world ``(x, y, z)`` of voxel ``(0, 0, 0)``, mm, LPS.
        direction: see `Geometry`.
    """

    hu: NDArray[np.int16]
    spacing_mm: Triple
    origin_mm: Triple = (0.0, 0.0, 0.0)
    direction: Matrix = IDENTITY

    def __post_init__(self) -> None:
        if self.hu.ndim != 3:
            raise ValueError(f"a volume has three axes, not {self.hu.ndim}")
        if self.hu.dtype != np.int16:
            raise ValueError(f"Hounsfield units are held as int16, not {self.hu.dtype}")
        _ = self.geometry  # checks spacing, origin and direction

    @property
    def geometry(self) -> Geometry:
        """The grid alone."""
        z, y, x = self.hu.shape
        return Geometry((z, y, x), self.spacing_mm, self.origin_mm, self.direction)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along ``(z, y, x)``."""
        return self.geometry.shape
