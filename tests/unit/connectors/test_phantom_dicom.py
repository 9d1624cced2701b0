import csv
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medfed.connectors.annotations import read_annotations
from medfed.connectors.metaimage import read_volume
from medfed.connectors.phantom import make_phantom
from medfed.connectors.phantom.folder import Job


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "out"
    return make_phantom(out, 3, 1, "small", seed=5, dicom=True, workers=2).out


def patients(phantom: Path) -> list[Path]:
    return sorted(p for p in phantom.glob("hospital-*/*") if p.is_dir())


def slices(patient: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted((patient / "dicom").glob("*.dcm"))]


@pytest.mark.slow
def test_the_number_of_workers_changes_no_byte(phantom: Path, tmp_path: Path) -> None:
    again = make_phantom(tmp_path / "again", 3, 1, "small", seed=5, dicom=True, workers=1).out
    names = [p.relative_to(phantom) for p in sorted(phantom.rglob("*")) if p.is_file()]
    assert len(names) > 3 * (64 + 4)
    assert names == [p.relative_to(again) for p in sorted(again.rglob("*")) if p.is_file()]
    assert all((phantom / n).read_bytes() == (again / n).read_bytes() for n in names)


def test_the_series_is_the_volume(phantom: Path) -> None:
    for patient in patients(phantom):
        volume = read_volume(patient / "ct.mhd")
        found = slices(patient)
        hu = np.stack([d.pixel_array * d.RescaleSlope + d.RescaleIntercept for d in found])
        assert np.array_equal(hu, volume.hu)
        dz, dy, dx = volume.spacing_mm
        for number, data in enumerate(found):
            place = np.asarray(data.ImagePositionPatient, dtype=float)
            assert np.allclose(place, volume.geometry.to_world((number, 0, 0)), atol=1e-4)
            assert np.allclose(data.PixelSpacing, (dy, dx))
            assert data.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
            assert data.SliceThickness >= dz
        padded = found[0].get("PixelPaddingValue")
        if padded is not None:
            assert (found[0].pixel_array[0, 0]) == padded


def test_simpleitk_reads_it_like_the_metaimage(phantom: Path) -> None:
    import SimpleITK as sitk

    patient = patients(phantom)[0]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(patient / "dicom")))
    series, volume = reader.Execute(), sitk.ReadImage(str(patient / "ct.mhd"))
    assert np.array_equal(sitk.GetArrayViewFromImage(series), sitk.GetArrayViewFromImage(volume))
    assert np.allclose(series.GetOrigin(), volume.GetOrigin(), atol=1e-3)
    assert np.allclose(series.GetSpacing(), volume.GetSpacing(), atol=1e-3)


def test_every_slice_says_that_it_is_synthetic(phantom: Path) -> None:
    for data in (data for patient in patients(phantom) for data in slices(patient)):
        assert "SYNTHETIC" in str(data.PatientName)
        assert data.SeriesDescription.startswith("SYNTHETIC")
        assert data.StudyDescription.startswith("SYNTHETIC")
        assert "shows no person" in data.ImageComments
        assert data.QualityControlSubject == "YES"
        assert "synthetic" in data.Manufacturer


def test_uids_are_unique_and_follow_from_the_seed(phantom: Path) -> None:
    found = [data for patient in patients(phantom) for data in slices(patient)]
    assert len({d.SOPInstanceUID for d in found}) == len(found)
    assert len({d.SeriesInstanceUID for d in found}) == len(patients(phantom))
    uids = {u for d in found for u in (d.SOPInstanceUID, d.StudyInstanceUID, d.SeriesInstanceUID)}
    assert all(re.fullmatch(r"2\.25\.[1-9]\d{0,38}", uid) and uid.is_valid for uid in uids)
    job = Job(phantom, 0, "hospital-1", 1, "small", 5, True)
    assert found[0].SeriesInstanceUID == job.names.series
    other = Job(phantom, 0, "hospital-1", 1, "small", 6, True)
    assert other.names.series != job.names.series
    with (phantom / "hospital-1" / "patients.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["series_uid"] == job.names.series


@pytest.mark.needs_package("dicom3tools")
def test_dciodvfy_finds_no_error(phantom: Path) -> None:
    for patient in patients(phantom):
        path = sorted((patient / "dicom").glob("*.dcm"))[7]
        done = subprocess.run(
            ["dciodvfy", "-new", str(path)], check=False, capture_output=True, text=True
        )
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        assert "CTImage" in done.stderr
        assert not errors


def test_mimics_are_named_with_their_places(phantom: Path) -> None:
    manifest = json.loads((phantom / "manifest.json").read_bytes())
    assert manifest["synthetic"] is True
    mimics = manifest["mimics"]
    assert {m["kind"] for m in mimics} >= {"scar", "lymph-node", "vessel-crossing"}
    for hospital in ("hospital-1", "hospital-2", "hospital-3"):
        own = [m for m in mimics if m["series"].startswith(hospital)]
        rows = read_annotations(phantom / hospital / "mimics.csv")
        assert [tuple(m["centre_mm"]) for m in own] == [r.centre_mm for r in rows]
        excluded = read_annotations(phantom / hospital / "annotations_excluded.csv")
        assert len(excluded) == sum(m["excluded"] for m in own)
        assert {m["kind"] for m in own if not m["excluded"]} == {"vessel-crossing"}
        for row in rows:
            volume = read_volume(phantom / hospital / row.series / "ct.mhd")
            assert volume.geometry.contains(row.centre_mm)


def test_nodules_keep_away_from_mimics(phantom: Path) -> None:
    for hospital in phantom.glob("hospital-*"):
        nodules = read_annotations(hospital / "annotations.csv")
        for mimic in read_annotations(hospital / "mimics.csv"):
            for nodule in (n for n in nodules if n.series == mimic.series):
                gap = np.linalg.norm(np.subtract(nodule.centre_mm, mimic.centre_mm))
                assert gap > 0.5 * (nodule.diameter_mm + mimic.diameter_mm)
