"""One door: files, folders and zips of every form, and the page that lists what is refused."""

import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from unit.connectors.dicom_files import ramp, write_enhanced, write_series

from medfed.connectors.scans import PROBLEMS, ScanError, read_grid, read_labels, read_scan
from medfed.imaging.geometry import Geometry

HU = ramp((4, 5, 6))
GRID = Geometry(HU.shape, (2.5, 0.8, 0.7), (-120.5, 33.25, -400.0))
PAGE = Path(__file__).parents[4] / "docs" / "reference" / "scan-forms.md"


def image(values: np.ndarray = HU) -> sitk.Image:
    out = sitk.GetImageFromArray(values)
    out.SetSpacing(GRID.spacing_mm[::-1])
    out.SetOrigin(GRID.origin_mm)
    return out


def made(root: Path, form: str) -> Path:
    """The same scan in a form."""
    if form == "dicom":
        return write_series(root / "dicom", HU, GRID)
    if form == "enhanced":
        return write_enhanced(root / "enhanced.dcm", HU, GRID)
    path = root / f"ct.{form}"
    sitk.WriteImage(image(), str(path))
    return path


FORMS = ("mhd", "mha", "nii", "nii.gz", "dicom", "enhanced")
NAMES = {"mhd": "MetaImage", "mha": "MetaImage", "nii": "NIfTI", "nii.gz": "NIfTI"}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_scan(tmp_path: Path, form: str) -> None:
    path = made(tmp_path, form)
    scan = read_scan(path)
    assert scan.form == NAMES.get(form, "DICOM")
    assert (scan.series is None) == (form in NAMES)
    assert (scan.volume.hu == HU).all()
    assert scan.volume.geometry.matches(GRID)
    assert read_grid(path).matches(GRID)


@pytest.mark.parametrize("form", FORMS)
def test_in_a_folder_and_in_a_zip(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "upload" / "inner"
    folder.mkdir(parents=True)
    made(folder, form)
    (folder / "readme.txt").write_text("not a scan")
    (folder / "letter.pdf").write_bytes(b"%PDF nor is this")
    shutil.make_archive(str(tmp_path / "scan"), "zip", tmp_path / "upload")
    for path in (folder, tmp_path / "upload", tmp_path / "scan.zip"):
        scan = read_scan(path)
        assert (scan.volume.hu == HU).all()
        assert read_grid(path).matches(GRID)


@pytest.mark.parametrize("form", ["mhd", "dicom"])
def test_a_folder_whose_only_scan_is_a_zip(tmp_path: Path, form: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    made(inner, form)
    (tmp_path / "handed-out").mkdir()
    shutil.make_archive(str(tmp_path / "handed-out" / "scan"), "zip", inner)
    (tmp_path / "handed-out" / "readme.txt").write_text("where it is from")
    assert (read_scan(tmp_path / "handed-out").volume.hu == HU).all()
    assert read_grid(tmp_path / "handed-out").matches(GRID)
    shutil.copy(tmp_path / "handed-out" / "scan.zip", tmp_path / "handed-out" / "other.zip")
    with pytest.raises(ScanError):  # which of them is not guessed
        read_scan(tmp_path / "handed-out")


def test_several_volumes_are_not_guessed_between(tmp_path: Path) -> None:
    made(tmp_path, "mhd")
    made(tmp_path, "nii.gz")
    with pytest.raises(ScanError) as caught:
        read_scan(tmp_path)
    assert caught.value.name == "several-volumes"


def test_a_zipped_header_reaches_no_file_outside(tmp_path: Path) -> None:
    path = made(tmp_path, "mhd")
    path.write_text(path.read_text().replace("ct.raw", str(tmp_path / "ct.raw")))
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
        archive.write(path, "ct.mhd")
    with pytest.raises(ScanError) as caught:
        read_scan(tmp_path / "scan.zip")
    assert caught.value.name == "outside-folder"


@pytest.mark.parametrize("name", ["ct.mhd", "ct.mha", "ct.nii", "ct.nii.gz", "ct.dcm", "ct.zip"])
def test_empty_and_missing_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(ScanError) as caught:
        read_scan(tmp_path / name)
    assert caught.value.name == "missing-file"
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ScanError) as caught:
        read_scan(tmp_path / name)
    assert caught.value.name == "empty-file"


@pytest.mark.parametrize("form", ["mhd", "mha", "nii", "nii.gz"])
def test_labels_in_any_form(tmp_path: Path, form: str) -> None:
    labels = (HU > -950).astype(np.uint8) * 3
    sitk.WriteImage(image(labels), str(tmp_path / f"mask.{form}"))
    mask = read_labels(tmp_path / f"mask.{form}", GRID)
    assert mask.dtype == np.uint8
    assert (mask == (labels > 0)).all()


def test_every_public_name_is_explained_once() -> None:
    listed = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(PROBLEMS)
    for name, kind in PROBLEMS.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert kind.remedy.endswith(".")
        assert not kind.sentence.endswith(".")
