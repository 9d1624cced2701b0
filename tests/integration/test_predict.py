"""`medfed predict` as a person runs it, and its results in a PACS."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from integration.orthanc import OWN_TITLE, PASSWORD, USER, orthanc
from unit.connectors.dicom_files import write_series
from unit.inference.threshold import balls, run_folder
from unit.services.test_prediction import CENTRE, OBLIQUE, write_mhd

from medfed.cli import main
from medfed.connectors.pacs import PacsOptions, Query, open_pacs
from medfed.connectors.scans.reading import read_scan

__all__ = ["orthanc"]

AIR = -250.0


def medfed(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "medfed", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=150,
    )


@pytest.fixture
def model(tmp_path):
    return run_folder(tmp_path / "run", threshold_hu=AIR)


@pytest.fixture
def series(tmp_path):
    scan = balls(OBLIQUE, [CENTRE], radius_mm=5.0)
    return write_series(tmp_path / "ct", scan.hu, OBLIQUE, intercept=-2000.0, patient="SECRET-1")


@pytest.mark.slow
@pytest.mark.needs_package("orthanc")
@pytest.mark.needs_package("orthanc-dicomweb")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", ["web", "dimse"])
def test_results_go_into_a_pacs_and_come_back_with_the_same_pixels(
    orthanc, model, series, tmp_path, way
):
    orthanc.clear()
    if way == "web":
        to = (orthanc.url, "--ca", orthanc.ca)
    else:
        to = (f"dimse://{orthanc.dimse}", "--title", OWN_TITLE)
    out = tmp_path / "out"
    done = medfed(
        *("predict", "--model", model, "--input", series, "--out", out, "--json", "--send", *to),
        MEDFED_PACS_USER=USER,
        MEDFED_PACS_PASSWORD=PASSWORD,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["sent"] == 2
    assert "SECRET" not in done.stdout + done.stderr
    ours = pydicom.dcmread(out / "segmentation.dcm")
    options = PacsOptions(ca=orthanc.ca, user=USER, password=PASSWORD)
    pacs = open_pacs(orthanc.url, options)
    back = {}
    for found in pacs.find(Query(study=ours.StudyInstanceUID, modality="")):
        folder = tmp_path / found.modality
        folder.mkdir()
        assert pacs.fetch(found, folder) == 1
        back[found.modality] = pydicom.dcmread(next(folder.iterdir()))
    assert set(back) == {"SEG", "SR"}
    assert np.array_equal(back["SEG"].pixel_array, ours.pixel_array)
    assert back["SEG"].pixel_array.any()
    report = pydicom.dcmread(out / "measurements.dcm")
    assert back["SR"].ContentSequence == report.ContentSequence


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_series_is_marked_in_the_right_place(model, need, tmp_path):
    """With a rule that marks all that is dense: what it finds tells nothing, where it is does."""
    (archive,) = need("ct-cptac-lscc-chest-series").glob("*.zip")
    out = tmp_path / "out"
    main(["predict", "--model", str(model), "--input", str(archive), "--out", str(out)])
    found = json.loads((out / "findings.json").read_text())
    volume = read_scan(archive).volume
    mask = sitk.ReadImage(str(out / "mask.nii.gz"))
    marked = sitk.GetArrayFromImage(mask)
    assert marked.shape == volume.shape
    assert len(found["findings"]) > 10
    for one in found["findings"]:
        world = np.array(one["centre_world_lps_mm"])
        voxel = mask.TransformPhysicalPointToContinuousIndex(world.tolist())[::-1]
        np.testing.assert_allclose(voxel, one["centre_voxel_zyx"], atol=0.01)
        place = marked == one["number"]
        assert one["mean_hu"] == pytest.approx(volume.hu[place].mean(), abs=1.0)
    segmentation = pydicom.dcmread(out / "segmentation.dcm")
    originals = {slice_.SOPInstanceUID for slice_ in read_headers(archive)}
    series = segmentation.ReferencedSeriesSequence[0]
    told = {one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence}
    assert told <= originals
    assert len(told) > 50


def read_headers(archive):
    with zipfile.ZipFile(archive) as packed:
        names = [name for name in packed.namelist() if name.endswith(".dcm")]
        return [
            pydicom.dcmread(io.BytesIO(packed.read(name)), stop_before_pixels=True)
            for name in names
        ]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--input", "none.mhd"), "none.mhd"),
        (("--input", "ct", "--send", "nonsense"), "address of a PACS"),
        (("--input", "ct", "--series", "1.2.3"), "series"),
        (("--input", "ct", "--model", "none"), "none"),
    ],
)
def test_it_says_what_is_wrong_and_leaves_nothing(
    model, series, tmp_path, monkeypatch, capsys, wrong, words
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["predict", "--model", "run", "--out", "out", "--json", *wrong])
    said = capsys.readouterr()
    assert ended.value.code == 3
    assert words in said.err
    assert json.loads(said.out.splitlines()[-1])["error"]["exit_code"] == 3
    assert {p.name for p in tmp_path.iterdir()} == {"run", "ct"}


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_written(model, tmp_path):
    scan = balls(OBLIQUE, [CENTRE], radius_mm=5.0)
    path = write_mhd(scan, tmp_path / "ct.mhd")
    command = [sys.executable, "-m", "medfed", "predict", "--model", str(model)]
    command += ["--input", str(path), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and not list(tmp_path.glob(".out.*.part")):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=100)
    left = {p.name for p in tmp_path.iterdir()} - {"run", "ct.mhd", "ct.raw"}
    assert left == (set() if process.returncode == 130 else {"out"})
    if left:
        assert (tmp_path / "out" / "findings.json").exists()
