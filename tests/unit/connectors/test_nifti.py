"""NIfTI: RAS against LPS, two affines, and headers that lie."""

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medfed.connectors.nifti import nifti_geometry, read_nifti, read_nifti_mask
from medfed.connectors.scans import ScanError

VALUES = (np.arange(120) - 50).reshape(4, 5, 6).astype(np.int16)
ROTATED = np.array([[0.0, -0.8, 0.6], [1.0, 0.0, 0.0], [0.0, 0.6, 0.8]])


def affine(spacing: tuple[float, float, float] = (0.7, 0.8, 2.5)) -> np.ndarray:
    """Index (x, y, z) to RAS, oblique."""
    out = np.eye(4)
    out[:3, :3] = ROTATED * spacing
    out[:3, 3] = (120.5, -33.25, -400)
    return out


def save(path: Path, values: np.ndarray = VALUES, matrix: np.ndarray | None = None) -> Path:
    image = nibabel.Nifti1Image(values.T, affine() if matrix is None else matrix)
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    nibabel.save(image, path)
    return path


def refused(path: Path, name: str) -> ScanError:
    with pytest.raises(ScanError) as caught:
        read_nifti(path)
    assert caught.value.name == name
    return caught.value


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_world_is_lps(tmp_path: Path, name: str, kind: type) -> None:
    image = kind(VALUES.T, affine())
    nibabel.save(image, tmp_path / name)
    volume, notes = read_nifti(tmp_path / name)
    assert notes == ()
    assert (volume.hu == VALUES).all()
    assert volume.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    for index in ((0, 0, 0), (3, 4, 5), (1, 2, 3)):
        ras = image.affine @ (*index[::-1], 1)
        assert np.abs(volume.geometry.to_world(index) - ras[:3] * (-1, -1, 1)).max() < 0.01
    assert nifti_geometry(tmp_path / name).matches(volume.geometry)


def test_a_left_handed_affine(tmp_path: Path) -> None:
    matrix = np.diag((-0.7, 0.8, 2.5, 1.0))
    volume, _ = read_nifti(save(tmp_path / "ct.nii", matrix=matrix))
    assert volume.geometry.to_world((0, 0, 1)) == pytest.approx((0.7, 0, 0))


def test_the_qform_alone_and_the_sform_alone(tmp_path: Path) -> None:
    for codes in ((1, 0), (0, 1), (1, 2)):
        image = nibabel.Nifti1Image(VALUES.T, affine())
        image.set_qform(affine(), code=codes[0])
        image.set_sform(affine(), code=codes[1])
        nibabel.save(image, tmp_path / "ct.nii")
        volume, notes = read_nifti(tmp_path / "ct.nii")
        assert volume.geometry.to_world((0, 0, 0)) == pytest.approx((-120.5, 33.25, -400))
        assert notes == ()


def test_two_affines_that_disagree(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES.T, affine())
    moved = affine()
    moved[0, 3] += 5
    image.set_qform(moved, code=1)
    image.set_sform(affine(), code=1)
    nibabel.save(image, tmp_path / "ct.nii")
    volume, notes = read_nifti(tmp_path / "ct.nii")
    assert volume.origin_mm[0] == pytest.approx(-120.5)
    assert "sform was used" in notes[0]
    sheared = affine()
    sheared[0, 0] += 0.3
    image.set_sform(sheared, code=1)
    nibabel.save(image, tmp_path / "ct.nii")
    volume, notes = read_nifti(tmp_path / "ct.nii")
    assert volume.origin_mm[0] == pytest.approx(-125.5)
    assert "qform was used" in notes[0]
    image.set_qform(None, code=0)
    nibabel.save(image, tmp_path / "ct.nii")
    refused(tmp_path / "ct.nii", "sheared")


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint16, np.float32, np.float64])
def test_other_types_of_voxels(tmp_path: Path, kind: type) -> None:
    values = np.abs(VALUES).astype(kind)
    volume, _ = read_nifti(save(tmp_path / "ct.nii", values))
    assert volume.hu.dtype == np.int16
    assert (volume.hu == values).all()


def test_slope_and_intercept(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES.T, affine())
    image.header.set_slope_inter(2, -1024)
    nibabel.save(image, tmp_path / "ct.nii")
    assert (read_nifti(tmp_path / "ct.nii")[0].hu == VALUES * 2 - 1024).all()


def test_big_endian_files(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    image = nibabel.Nifti1Image(VALUES.T, affine(), header)
    nibabel.save(image, tmp_path / "ct.nii")
    assert (tmp_path / "ct.nii").read_bytes()[:4] == b"\0\0\x01\x5c"
    assert (read_nifti(tmp_path / "ct.nii")[0].hu == VALUES).all()


def test_lengths_in_micrometres(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES.T, affine())
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "ct.nii")
    assert read_nifti(tmp_path / "ct.nii")[0].spacing_mm == pytest.approx((0.0025, 0.0008, 0.0007))


def test_a_mask_on_the_grid_of_its_ct(tmp_path: Path) -> None:
    geometry = nifti_geometry(save(tmp_path / "ct.nii"))
    path = save(tmp_path / "mask.nii.gz", (VALUES > 0).astype(np.uint8))
    assert (read_nifti_mask(path, geometry) == (VALUES > 0)).all()
    moved = affine()
    moved[2, 3] += 0.02
    save(path, (VALUES > 0).astype(np.uint8), moved)
    with pytest.raises(ScanError, match="does not lie on the grid of its CT") as caught:
        read_nifti_mask(path, geometry)
    assert caught.value.name == "off-grid"


def header(change: Callable[[np.ndarray], None]) -> Callable[[bytes], bytes]:
    def harm(data: bytes) -> bytes:
        fields = np.frombuffer(bytearray(data[:348]), nibabel.nifti1.header_dtype).copy()
        change(fields)
        return fields.tobytes() + data[348:]

    return harm


def put(field: str, value: object, place: object = 0) -> Callable[[bytes], bytes]:
    def change(fields: np.ndarray) -> None:
        if fields[field].ndim == 1:
            fields[field] = value
        else:
            fields[field][0][place] = value

    return header(change)


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (lambda data: b"", "empty-file"),
        (lambda data: data[:100], "bad-header"),
        (lambda data: b"no NIfTI" * 100, "bad-header"),
        (lambda data: data[:-1], "cut-off"),
        (lambda data: data + b"1", "too-long"),
        (put("dim", 2), "unsupported-form"),
        (put("dim", 9), "unsupported-form"),
        (put("dim", [4, 6, 5, 4, 3, 1, 1, 1], slice(None)), "unsupported-form"),
        (put("dim", 0, 1), "bad-header"),
        (put("dim", -3, 2), "bad-header"),
        (put("dim", [3, 30000, 30000, 30000, 1, 1, 1, 1], slice(None)), "too-large"),
        (put("dim", 400, 3), "cut-off"),
        (put("datatype", 128), "unsupported-form"),
        (put("datatype", 32), "unsupported-form"),
        (put("datatype", 9999), "bad-header"),
        (put("vox_offset", 0), "bad-header"),
        (put("vox_offset", 1e12), "bad-header"),
        (put("vox_offset", np.nan), "bad-header"),
        (put("xyzt_units", 7), "bad-header"),
        (put("srow_x", np.nan, 2), None),
        (put("pixdim", -1, 2), "bad-spacing"),
        (header(lambda f: (f["qform_code"].fill(0), f["sform_code"].fill(0))), "no-orientation"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_files_that_are_not_what_they_say(
    tmp_path: Path, harm: Callable[[bytes], bytes], name: str | None, packed: bool
) -> None:
    path = save(tmp_path / "ct.nii")
    data = harm(path.read_bytes())
    path.write_bytes(gzip.compress(data) if packed else data)
    if name is None:  # the qform is still good
        assert "qform was used" in read_nifti(path)[1][0]
    else:
        refused(path, name)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = save(tmp_path / "ct.nii.gz")
    data = path.read_bytes()
    for broken in (data[:-10], data[:150] + b"\0\1\2\3" + data[154:], data[:12]):
        path.write_bytes(broken)
        refused(path, "cut-off")


def test_a_packed_file_that_would_unpack_to_too_much(tmp_path: Path) -> None:
    path = save(tmp_path / "ct.nii")
    path.write_bytes(gzip.compress(path.read_bytes() + bytes(50_000_000), 1))
    refused(path, "too-long")


def test_values_that_are_no_hounsfield_units(tmp_path: Path) -> None:
    values = VALUES.astype(np.float32)
    values[0, 0, 0] = np.inf
    refused(save(tmp_path / "ct.nii", values), "not-hounsfield")
    values[0, 0, 0] = 1e6
    refused(save(tmp_path / "ct.nii", values), "not-hounsfield")


def test_a_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "ct.nii.gz", "missing-file")
