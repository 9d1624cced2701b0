"""Property: whoever wrote a scan, in whatever form, its voxels are read back in their place."""

import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.connectors.dicom_files import write_enhanced, write_series

from medfed.connectors.scans import read_scan
from medfed.imaging.geometry import Geometry, Volume

CORNERS = np.array([[z, y, x] for z in (0, 1) for y in (0, 1) for x in (0, 1)])


@st.composite
def volumes(draw: st.DrawFn) -> Volume:
    """Any spacing, place and direction; left-handed ones too."""
    q = np.array([draw(st.floats(-1, 1)) for _ in range(4)])
    norm = np.linalg.norm(q)
    w, x, y, z = q / norm if norm > 0.1 else (1.0, 0.0, 0.0, 0.0)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    rotation[:, 2] *= draw(st.sampled_from((1, -1)))
    direction = tuple(tuple(float(v) for v in row) for row in rotation)
    shape = draw(st.tuples(st.integers(2, 5), st.integers(1, 6), st.integers(1, 6)))
    spacing = tuple(round(draw(st.floats(0.3, 5)), 4) for _ in range(3))
    origin = tuple(round(draw(st.floats(-900, 900)), 3) for _ in range(3))
    seed = draw(st.integers(0, 2**16))
    hu = np.random.default_rng(seed).integers(-1024, 3071, shape).astype(np.int16)
    return Volume(hu, spacing, origin, direction)


def by_simpleitk(path: Path, volume: Volume, packed: bool = False) -> None:
    image = sitk.GetImageFromArray(volume.hu)
    image.SetSpacing(volume.spacing_mm[::-1])
    image.SetOrigin(volume.origin_mm)
    image.SetDirection(np.asarray(volume.direction).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=packed)


def by_nibabel(path: Path, volume: Volume) -> None:
    to_ras = np.diag((-1.0, -1.0, 1.0))
    affine = np.eye(4)
    affine[:3, :3] = to_ras @ np.asarray(volume.direction) * volume.spacing_mm[::-1]
    affine[:3, 3] = to_ras @ volume.origin_mm
    nibabel.save(nibabel.Nifti1Image(volume.hu.T, affine), path)


WRITERS = {
    "raw": lambda folder, volume: by_simpleitk(folder / "ct.mhd", volume),
    "zraw": lambda folder, volume: by_simpleitk(folder / "ct.mhd", volume, packed=True),
    "mha": lambda folder, volume: by_simpleitk(folder / "ct.mha", volume),
    "nifti of SimpleITK": lambda folder, volume: by_simpleitk(folder / "ct.nii.gz", volume),
    "nifti of nibabel": lambda folder, volume: by_nibabel(folder / "ct.nii", volume),
    "DICOM": lambda folder, volume: write_series(folder / "s", volume.hu, volume.geometry),
    "enhanced DICOM": lambda folder, volume: write_enhanced(
        folder / "ct.dcm", volume.hu, volume.geometry
    ),
}


def same(read: Volume, written: Volume) -> None:
    """Each voxel of the one lies where the other has it, with its value.

    A DICOM volume is always right-handed: a left-handed one comes back with its slices reversed.
    """
    assert read.shape == written.shape
    ends = CORNERS * (np.asarray(read.shape) - 1)
    index = written.geometry.to_index(read.geometry.to_world(ends))
    back = written.geometry.to_world(np.rint(index))
    assert np.abs(back - read.geometry.to_world(ends)).max() <= 0.01
    turned = np.rint(index)[0, 0] > 0
    hu = written.hu[::-1] if turned else written.hu
    assert np.abs(index[:, 1:] - ends[:, 1:]).max() < 0.1
    assert (read.hu == hu).all()


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=15, deadline=None)
@given(volume=volumes())
def test_written_and_read_back(writer: str, volume: Volume) -> None:
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[writer](Path(folder), volume)
        same(read_scan(Path(folder)).volume, volume)


@settings(max_examples=10, deadline=None)
@given(volume=volumes())
def test_all_forms_agree_with_each_other(volume: Volume) -> None:
    straight = Geometry(volume.shape, volume.spacing_mm, volume.origin_mm)
    volume = Volume(volume.hu, straight.spacing_mm, straight.origin_mm)
    read = []
    for writer in WRITERS.values():
        with tempfile.TemporaryDirectory() as folder:
            writer(Path(folder), volume)
            read.append(read_scan(Path(folder)).volume)
    for other in read:
        assert other.geometry.matches(straight, 0.01)
        assert (other.hu == volume.hu).all()
