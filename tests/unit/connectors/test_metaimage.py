import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medfed.connectors.annotations import (
    Annotation,
    annotations_csv,
    check_inside,
    read_annotations,
)
from medfed.connectors.metaimage import read_geometry, read_mask, read_volume
from medfed.connectors.scans import ScanError
from medfed.core.errors import DataError
from medfed.imaging.geometry import Geometry

SHAPE = (4, 5, 6)
AXES = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0, -1.0, 0.0, 0.0)


def save(path: Path, kind: type = np.int16, axes: tuple[float, ...] = AXES) -> np.ndarray:
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(kind)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-120.5, 33.25, -400.0))
    image.SetDirection(axes)
    sitk.WriteImage(image, str(path))
    return values


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "patient" / "ct.mhd"
    path.parent.mkdir()
    save(path)
    return path


def change(path: Path, key: str, value: str | None) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith(f"{key} =")]
    if value is not None:
        lines.append(f"{key} = {value}")
    # ElementDataFile must come last: MetaIO stops reading the header there.
    lines.sort(key=lambda line: line.startswith("ElementDataFile"))
    path.write_text("\n".join(lines) + "\n")


def test_what_simpleitk_wrote_is_read_back(scan: Path) -> None:
    volume = read_volume(scan)
    image = sitk.ReadImage(str(scan))
    assert (volume.hu == sitk.GetArrayFromImage(image)).all()
    assert volume.spacing_mm == (2.5, 0.8, 0.7)
    for index in ((0, 0, 0), (3, 4, 5), (1, 2, 3)):
        expected = image.TransformIndexToPhysicalPoint(index[::-1])
        assert np.allclose(volume.geometry.to_world(index), expected, atol=0.01)
    assert read_geometry(scan).matches(volume.geometry)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float32])
def test_other_element_types_become_int16(tmp_path: Path, kind: type) -> None:
    values = save(tmp_path / "ct.mhd", kind)
    volume = read_volume(tmp_path / "ct.mhd")
    assert volume.hu.dtype == np.int16
    assert (volume.hu == values).all()


def test_values_that_are_no_hounsfield_units(tmp_path: Path) -> None:
    values = save(tmp_path / "ct.mhd", np.float32)
    values[0, 0, 0] = np.nan
    values.tofile(tmp_path / "ct.raw")
    with pytest.raises(DataError, match="not finite"):
        read_volume(tmp_path / "ct.mhd")
    values[0, 0, 0] = 1e6
    values.tofile(tmp_path / "ct.raw")
    with pytest.raises(DataError, match="holds values from"):
        read_volume(tmp_path / "ct.mhd")


def test_a_mask_is_binary_and_on_the_grid_of_its_ct(scan: Path) -> None:
    path = scan.with_name("mask.mhd")
    values = save(path, np.uint8)
    mask = read_mask(path, like=read_geometry(scan))
    assert (mask == (values > 0)).all()
    change(path, "Offset", "-120.5 33.25 -400.02")
    with pytest.raises(DataError, match="does not lie on the grid of its CT"):
        read_mask(path, like=read_geometry(scan))


def test_missing_header_and_missing_voxels(scan: Path) -> None:
    with pytest.raises(DataError, match=r"no file other\.mhd"):
        read_volume(scan.with_name("other.mhd"))
    scan.with_suffix(".raw").unlink()
    with pytest.raises(DataError, match=r"there is no ct\.raw"):
        read_volume(scan)


@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.float64])
@pytest.mark.parametrize("name", ["ct.mhd", "ct.mha"])
def test_packed_voxels(tmp_path: Path, name: str, kind: type) -> None:
    plain = save(tmp_path / "plain.mhd", kind)
    image = sitk.ReadImage(str(tmp_path / "plain.mhd"))
    sitk.WriteImage(image, str(tmp_path / name), useCompression=True)
    assert (tmp_path / "ct.zraw").exists() == name.endswith(".mhd")
    volume = read_volume(tmp_path / name)
    assert (volume.hu == plain).all()
    assert volume.geometry.matches(read_geometry(tmp_path / "plain.mhd"))


def test_a_header_with_its_voxels_in_one_file(tmp_path: Path) -> None:
    values = save(tmp_path / "ct.mha")
    assert (read_volume(tmp_path / "ct.mha").hu == values).all()
    (tmp_path / "ct.mha").write_bytes((tmp_path / "ct.mha").read_bytes()[:-1])
    with pytest.raises(ScanError, match="cut off") as caught:
        read_volume(tmp_path / "ct.mha")
    assert caught.value.name == "cut-off"


def test_big_endian_voxels(scan: Path) -> None:
    values = read_volume(scan).hu
    scan.with_suffix(".raw").write_bytes(values.astype(">i2").tobytes())
    change(scan, "BinaryDataByteOrderMSB", "True")
    assert (read_volume(scan).hu == values).all()


@pytest.fixture
def zraw(tmp_path: Path) -> Path:
    save(tmp_path / "plain.mhd")
    image = sitk.ReadImage(str(tmp_path / "plain.mhd"))
    sitk.WriteImage(image, str(tmp_path / "ct.mhd"), useCompression=True)
    return tmp_path / "ct.mhd"


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (lambda data: data[:-9], "cut-off"),
        (lambda data: data[:20] + bytes(9) + data[29:], "cut-off"),
        (lambda data: b"", "cut-off"),
        (lambda data: zlib.compress(zlib.decompress(data)[:-1]), "cut-off"),
        (lambda data: zlib.compress(zlib.decompress(data) + b"1"), "too-long"),
        (lambda data: zlib.compress(bytes(10_000_000)), "too-long"),
    ],
)
def test_packed_voxels_that_are_not_what_the_header_says(
    zraw: Path, harm: Callable[[bytes], bytes], name: str
) -> None:
    path = zraw.with_suffix(".zraw")
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(ScanError) as caught:
        read_volume(zraw)
    assert caught.value.name == name


@pytest.mark.parametrize(("change_by", "said"), [(-1, "cut off"), (1, "longer than its header")])
def test_voxels_of_the_wrong_length(scan: Path, change_by: int, said: str) -> None:
    raw = scan.with_suffix(".raw")
    content = raw.read_bytes()
    raw.write_bytes(content[:change_by] if change_by < 0 else content + b"\0" * change_by)
    with pytest.raises(DataError, match=said):
        read_volume(scan)


@pytest.mark.parametrize(
    "where", ["../secret.raw", "{absolute}", "..", "", "sub/ct.raw", "a\\b.raw"]
)
def test_voxels_outside_the_folder_are_not_opened(scan: Path, where: str) -> None:
    secret = scan.parent.parent / "secret.raw"
    secret.write_bytes(scan.with_suffix(".raw").read_bytes())
    change(scan, "ElementDataFile", where.format(absolute=secret))
    with pytest.raises(DataError, match="outside its folder"):
        read_volume(scan)


def test_a_link_out_of_the_folder_is_not_followed(scan: Path) -> None:
    secret = scan.parent.parent / "secret.raw"
    scan.with_suffix(".raw").rename(secret)
    scan.with_suffix(".raw").symlink_to(secret)
    with pytest.raises(DataError, match="outside its folder"):
        read_volume(scan)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("NDims", "2", "2 dimensions"),
        ("NDims", None, "lacks NDims"),
        ("DimSize", "6 5", "should hold 3 numbers"),
        ("DimSize", "6 5 0", "impossible size"),
        ("DimSize", "6 5 four", "should hold 3 numbers"),
        ("DimSize", "100000 100000 100000", "more voxels than any CT"),
        ("DimSize", "6 5 400", "cut off"),
        ("ElementSpacing", None, "voxel spacing"),
        ("ElementSpacing", "0.7 -0.8 2.5", "positive"),
        ("ElementSpacing", "0.7 nan 2.5", "should hold 3 numbers"),
        ("TransformMatrix", "1 0 0 0 1 0 0 0.2 1", "orthonormal"),
        ("ElementType", "MET_STRING", "unknown element type"),
        ("ElementDataFile", "LOCAL", "cut off"),
        ("ElementDataFile", "LIST", "keeps its voxels as"),
        ("ElementDataFile", "LIST 2", "keeps its voxels as"),
        ("ElementDataFile", "slice%d.raw 1 4 1", "keeps its voxels as"),
        ("CompressedData", "True", "cannot be unpacked"),
        ("CompressedData", "Maybe", "True or False"),
        ("BinaryData", "False", "as text"),
        ("ElementNumberOfChannels", "3", "several channels"),
        ("HeaderSize", "12", "skip 12 bytes"),
    ],
)
def test_headers_that_make_no_sense(scan: Path, key: str, value: str | None, said: str) -> None:
    change(scan, key, value)
    with pytest.raises(DataError, match=said):
        read_volume(scan)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe\0", "not text"), (b"", "empty"), (b"\n", "NDims"), (b"x" * 70_000, "too long")],
)
def test_files_that_are_no_header(scan: Path, content: bytes, said: str) -> None:
    scan.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_volume(scan)


def test_annotations_round_trip(tmp_path: Path) -> None:
    rows = (Annotation("a", (-1.5, 2.25, 3.0), 8.125), Annotation("b", (0.0, 0.0, 0.0), 4.0))
    path = tmp_path / "annotations.csv"
    path.write_text(annotations_csv(rows))
    assert read_annotations(path) == rows
    assert path.read_text().startswith("seriesuid,coordX,coordY,coordZ,diameter_mm\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seriesuid,coordX,coordY,coordZ\n", "lacks the column diameter_mm"),
        ("seriesuid,coordX,coordY,coordZ,diameter_mm\na,1,2,x,4\n", "line 2: coordinates"),
        ("seriesuid,coordX,coordY,coordZ,diameter_mm\na,1,2\n", "line 2: coordinates"),
        ("seriesuid,coordX,coordY,coordZ,diameter_mm\na,1,2,3,0\n", "line 2: a nodule"),
        ("seriesuid,coordX,coordY,coordZ,diameter_mm\na,1,nan,3,5\n", "line 2: a nodule"),
    ],
)
def test_annotations_that_make_no_sense(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "annotations.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_annotations(path)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        read_annotations(tmp_path / "annotations.csv")


def test_an_annotation_outside_its_volume() -> None:
    grid = Geometry((10, 10, 10), (2.0, 1.0, 1.0), (-5.0, -5.0, -5.0))
    inside = Annotation("p", (-5.0, 4.0, 13.0), 5.0)
    check_inside([inside], grid)
    with pytest.raises(DataError, match="annotation 2 of p lies outside its volume"):
        check_inside([inside, Annotation("p", (-5.0, 4.0, 15.0), 5.0)], grid)
