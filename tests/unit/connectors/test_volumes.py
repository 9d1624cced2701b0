import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from unit.connectors.dicom_files import ramp, write_series

from medfed.connectors.phantom import make_phantom
from medfed.connectors.scans import ScanError
from medfed.connectors.volumes import Volumes
from medfed.core.data import Noticed
from medfed.core.errors import DataError, PartError

SITES = ("north", "river")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_phantom(tmp_path_factory.mktemp("made") / "out", SITES, 2, "small", seed=3).out


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "data")


def test_every_patient_is_a_case_read_when_asked_for(made):
    source = Volumes().open(made, "north", SITES)
    assert source.patients() == ["north-0001", "north-0002"]
    assert source.strata() is None
    (case,) = source.load(["north-0002"])
    volume, mask = case.volume(), case.mask()
    assert volume.hu.dtype == np.int16
    assert volume.shape == mask.shape
    assert volume.geometry.matches(case.geometry)
    assert case.spacing_mm == volume.spacing_mm
    assert mask.any()


def test_a_patient_may_have_several_scans(root):
    patient = root / "north" / "north-0001"
    for name in ("before", "after"):
        shutil.copytree(patient, root / "moved" / name)
    shutil.rmtree(patient)
    shutil.move(root / "moved", patient)
    source = Volumes().open(root, "north", SITES)
    assert len(source.patients()) == 2
    scans = source.load(["north-0001"])
    assert [scan.patient for scan in scans] == ["north-0001"] * 2


def test_synthetic_patients_are_said_to_be(made, root):
    source = Volumes().open(made, "north", SITES)
    assert isinstance(source, Noticed)
    assert "synthetic" in source.notice
    manifest = json.loads((root / "manifest.json").read_bytes())
    (root / "manifest.json").write_text(json.dumps({**manifest, "synthetic": False}))
    assert not Volumes().open(root, "north", SITES).notice


@pytest.mark.parametrize("where", ["", "elsewhere", "nobody"])
def test_a_missing_folder_names_what_to_do(root, where):
    given = {"": None, "elsewhere": root / "elsewhere", "nobody": root}[where]
    with pytest.raises(DataError) as caught:
        Volumes().open(given, "nobody", SITES)
    assert "medfed data phantom --out DIR" in caught.value.remedy
    assert "--data DIR" in caught.value.remedy


def test_patients_without_a_ct_or_a_mask_are_counted_and_not_named(root):
    (root / "north" / "north-0001" / "ct.mhd").unlink()
    with pytest.raises(
        DataError, match=r"1 of the 2 patients of site north lack ct\.mhd"
    ) as caught:
        Volumes().open(root, "north", SITES)
    assert "0001" not in str(caught.value)
    (root / "river" / "river-0001" / "mask.mhd").unlink()
    with pytest.raises(DataError, match=r"1 of the 2 scans of site river lack mask\.mhd"):
        Volumes().open(root, "river", SITES)
    assert Volumes(mask="").open(root, "river", SITES).patients()


@pytest.mark.parametrize("broken", ["raw", "header", "gone", "mask"])
def test_an_unreadable_volume_is_named_without_its_patient(root, broken):
    folder = root / "north" / "north-0001"
    source = Volumes().open(root, "north", SITES)
    if broken == "raw":
        (folder / "ct.raw").write_bytes(b"short")
    elif broken == "header":
        (folder / "ct.mhd").write_text("nonsense")
    elif broken == "gone":
        (folder / "ct.raw").unlink()
    else:
        shutil.copy(root / "river" / "river-0001" / "mask.mhd", folder / "mask.mhd")
    (case,) = source.load(["north-0001"])
    with pytest.raises(DataError, match="site north: a MetaImage cannot be used") as caught:
        case.mask() if broken == "mask" else case.volume()
    assert "0001" not in str(caught.value)


def test_without_masks_a_mask_is_an_error(made):
    (case,) = Volumes(mask="").open(made, "north", SITES).load(["north-0001"])
    with pytest.raises(DataError, match="no masks"):
        case.mask()


@pytest.mark.parametrize("name", ["../ct.mhd", "a/b.mhd", "", ".."])
def test_only_plain_file_names_are_taken(name):
    with pytest.raises(PartError):
        Volumes(image=name)


HU = ramp((4, 5, 6))


def nifti(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-120.5, 33.25, -400.0))
    sitk.WriteImage(image, str(path))


@pytest.mark.parametrize("image", ["ct.nii.gz", "dicom", "scan.zip"])
def test_scans_of_any_form(tmp_path, image):
    for patient in ("a", "b"):
        folder = tmp_path / "north" / patient
        nifti(folder / "mask.nii.gz", (HU > -950).astype(np.uint8))
        if image == "ct.nii.gz":
            nifti(folder / image, HU)
        else:
            write_series(folder / "dicom", HU)
        if image == "scan.zip":
            shutil.make_archive(str(folder / "scan"), "zip", folder / "dicom")
            shutil.rmtree(folder / "dicom")
    source = Volumes(image=image, mask="mask.nii.gz").open(tmp_path, "north", ("north",))
    assert source.patients() == ["a", "b"]
    (case,) = source.load(["b"])
    assert case.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert (case.volume().hu == HU).all()
    assert case.volume().geometry.matches(case.geometry)
    assert (case.mask() == (HU > -950)).all()


def test_a_bad_series_is_named_without_its_patient(tmp_path):
    write_series(tmp_path / "north" / "SECRET" / "dicom", HU, missing=[1], patient="SECRET")
    (case,) = Volumes(image="dicom", mask="").open(tmp_path, "north", ("north",)).load(["SECRET"])
    with pytest.raises(ScanError, match="site north: a volume cannot be used: slices") as caught:
        case.volume()
    assert caught.value.name == "missing-slices"
    assert "SECRET" not in str(caught.value)
