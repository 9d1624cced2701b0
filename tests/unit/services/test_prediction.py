"""A scan and a model become a folder that is whole, right, and says what it must."""

import json
import subprocess
from importlib.resources import files
from pathlib import Path

import highdicom as hd
import jsonschema
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from markupsafe import escape
from PIL import Image
from unit.connectors.dicom_files import write_enhanced, write_series
from unit.inference.threshold import GUIDELINE, about, balls, oblique, run_folder, tensors, thorax

from medfed.connectors.scans import read_labels, read_scan
from medfed.core.errors import DataError
from medfed.core.study_file import parse_study
from medfed.frameworks.export import write_pth
from medfed.imaging.geometry import Geometry
from medfed.inference import RESEARCH_USE
from medfed.inference.dicom_common import Source
from medfed.inference.model import SYNTHETIC
from medfed.services.prediction import folder as folders
from medfed.services.prediction.model_file import open_model
from medfed.services.prediction.predict import PredictOptions, predict
from medfed.storage.models import write_model

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((files("medfed.inference") / "findings.schema.json").read_text("utf-8"))
OBLIQUE = Geometry((14, 40, 44), (2.5, 0.9, 0.8), (10.0, -20.0, 30.0), oblique())
CENTRE = OBLIQUE.to_world((6.3, 19.0, 22.0))
STUDY = """
title = "A threshold"
sites = ["north", "south"]
rounds = 1
seed = 1
[source]
name = "volumes"
[split]
name = "hash"
[task]
{task}
[strategy]
name = "fedavg"
"""
AIR = -250.0  # balls in air are marked from here


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("model"), threshold_hu=AIR)


@pytest.fixture(scope="module")
def ball():
    return balls(OBLIQUE, [CENTRE], radius_mm=5.0)


@pytest.fixture(scope="module")
def series(ball, tmp_path_factory):
    """The ball as a DICOM series, its files in no order."""
    folder = tmp_path_factory.mktemp("series")
    return write_series(folder, ball.hu, OBLIQUE, intercept=-2000.0, patient="SECRET-1")


@pytest.fixture(scope="module")
def done(model, series, tmp_path_factory):
    return predict(PredictOptions(model, series, tmp_path_factory.mktemp("out") / "found", None, 1))


def write_mhd(volume, path):
    image = SimpleITK.GetImageFromArray(volume.hu)
    image.SetSpacing(volume.spacing_mm[::-1])
    image.SetOrigin(volume.origin_mm)
    image.SetDirection([v for row in volume.direction for v in row])
    path.parent.mkdir(exist_ok=True, parents=True)
    SimpleITK.WriteImage(image, str(path))
    return path


def in_order(document, grid):
    """The mask of a DICOM segmentation on a grid, and whether each frame is where it says."""
    mask = np.zeros(grid.shape, np.uint8)
    frames = document.pixel_array.reshape(-1, *grid.shape[1:])
    for frame, place in zip(frames, document.PerFrameFunctionalGroupsSequence, strict=True):
        first = place.PlanePositionSequence[0].ImagePositionPatient
        index = grid.to_index([float(v) for v in first])
        assert np.allclose(index, np.rint(index), atol=1e-3)
        mask[round(index[0])] |= frame
    return mask


# --- what it is read with -------------------------------------------------------------------------


def test_the_report_links_to_the_guideline_of_the_model_or_of_the_hospital(
    done, model, series, tmp_path
):
    assert done.findings["model"]["guideline"] == GUIDELINE
    page = (done.out / "report.html").read_text("utf-8")
    to, title = escape(GUIDELINE["url"]), escape(GUIDELINE["title"])
    assert f'<a href="{to}" rel="noopener noreferrer">{title}</a>' in page
    other = {"title": "Another", "url": "https://x.example/"}
    again = predict(PredictOptions(model, series, tmp_path / "out", threads=1, guideline=other))
    page = (again.out / "report.html").read_text("utf-8")
    assert other["url"] in page
    assert str(to) not in page


# --- where it is ----------------------------------------------------------------------------------


def test_json_nifti_and_both_dicom_objects_put_the_ball_where_it_is(done):
    (finding,) = done.findings["findings"]
    near = min(OBLIQUE.spacing_mm) / 2
    assert np.linalg.norm(np.asarray(finding["centre_world_lps_mm"]) - CENTRE) <= near
    image = nib.load(done.out / "mask.nii.gz")
    voxels = np.argwhere(np.asanyarray(image.dataobj) == 1).mean(axis=0)
    ras = image.affine @ [*voxels, 1]
    assert np.linalg.norm(ras[:3] * (-1, -1, 1) - CENTRE) <= near
    document = hd.seg.segread(done.dicom[0])
    mask = in_order(document, OBLIQUE)
    assert np.linalg.norm(OBLIQUE.to_world(np.argwhere(mask).mean(axis=0)) - CENTRE) <= near
    assert np.array_equal(mask, np.asanyarray(image.dataobj).transpose(2, 1, 0))
    report = hd.sr.srread(done.dicom[1])
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    assert group.referenced_segment.referenced_sop_instance_uid == document.SOPInstanceUID
    figures = {m.name.meaning: (m.value, m.unit.value) for m in group.get_measurements()}
    assert figures["Long axis"] == (finding["longest_axial_diameter_mm"], "mm")
    assert figures["Volume"] == (finding["volume_mm3"], "mm3")
    assert figures["Attenuation Coefficient"] == (finding["mean_hu"], "[hnsf'U]")
    assert figures["Certainty of Finding"] == (round(100 * finding["probability"], 2), "%")


def test_our_own_reader_of_segmentations_reads_it(done):
    mask = read_labels(done.dicom[0], OBLIQUE)
    image = nib.load(done.out / "mask.nii.gz")
    assert np.array_equal(mask, np.asanyarray(image.dataobj).transpose(2, 1, 0))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_multi_frame_series_is_referred_to_frame_by_frame(model, ball, tmp_path, reverse):
    path = write_enhanced(tmp_path / "e.dcm", ball.hu, OBLIQUE, intercept=-2000.0, reverse=reverse)
    found = predict(PredictOptions(model, path, tmp_path / "out", None, 1))
    mask = in_order(hd.seg.segread(found.dicom[0]), OBLIQUE)
    near = min(OBLIQUE.spacing_mm) / 2
    assert np.linalg.norm(OBLIQUE.to_world(np.argwhere(mask).mean(axis=0)) - CENTRE) <= near


@pytest.mark.needs_package("dicom3tools")
def test_the_dicom_objects_keep_to_the_standard(done):
    keeps_to_the_standard(done.dicom)


def keeps_to_the_standard(paths):
    for path in paths:
        checked = subprocess.run(
            ["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=True
        )
        said = (checked.stdout + checked.stderr).splitlines()
        assert not [line for line in said if line.startswith("Error")]
        # The test's own patient has no family name; nothing else is to be said.
        assert not [line for line in said if "Warning" in line and "Patient" not in line]


def test_slices_that_are_not_the_volumes_are_not_referred_to(series):
    scan = read_scan(series)
    grid = scan.volume.geometry
    Source.of(scan.series.slices, grid)
    moved = Geometry(grid.shape, grid.spacing_mm, (0.0, 0.0, 0.0), grid.direction)
    for slices, other in ((scan.series.slices, moved), (scan.series.slices[1:], grid)):
        with pytest.raises(DataError, match="not the series' pixels"):
            Source.of(slices, other)
    del scan.series.slices[0].FrameOfReferenceUID
    with pytest.raises(DataError, match="FrameOfReferenceUID"):
        Source.of(scan.series.slices, grid)


# --- what it says ---------------------------------------------------------------------------------


def test_the_json_keeps_to_its_schema_and_is_what_lies_in_the_folder(done):
    jsonschema.Draft202012Validator(SCHEMA).validate(done.findings)
    assert json.loads((done.out / "findings.json").read_bytes()) == done.findings
    listed = [v for v in done.findings["files"].values() if isinstance(v, str)]
    listed += [*done.findings["files"]["pictures"], "findings.json"]
    assert sorted(listed) == sorted(p.name for p in done.out.iterdir())


def test_the_reference_lists_every_key():
    page = (ROOT / "docs" / "reference" / "findings.md").read_text("utf-8")
    parts = [SCHEMA, SCHEMA["$defs"]["finding"], *SCHEMA["properties"].values()]
    keys = {key for part in parts for key in part.get("properties", {})} - {"name"}
    assert not [key for key in keys if f"`{key}`" not in page]


def test_every_output_says_what_it_is_and_whose(model, series, tmp_path):
    words = {**about(AIR), "notices": ["The patients are synthetic, drawn by a program"]}
    run = tmp_path / "run"
    run.mkdir()
    digest = write_model(run / "model.safetensors", tensors(), words)
    found = predict(PredictOptions(run, series, tmp_path / "out", None, 1))
    assert found.findings["notices"] == [RESEARCH_USE, SYNTHETIC]
    page = (found.out / "report.html").read_text("utf-8")
    for text in (RESEARCH_USE, SYNTHETIC, digest, words["study"]):
        assert text in page
    seg, report = (hd.seg.segread(found.dicom[0]), hd.sr.srread(found.dicom[1]))
    for text in (RESEARCH_USE, SYNTHETIC):
        assert text in seg.ImageComments
        assert text in report.to_json()
    for text in (digest, words["study"]):
        assert text in seg.to_json()
        assert text in report.to_json()
    for document in (seg, report):
        assert "research use only" in document.SeriesDescription.lower()
    header = nib.load(found.out / "mask.nii.gz").header
    assert f"Research use only; synthetic training; model {digest[:12]}" in str(header["descrip"])
    said = header.extensions[0].get_content()
    for text in (RESEARCH_USE, SYNTHETIC, digest, words["study"]):
        assert text.encode() in said if isinstance(said, bytes) else text in said


def test_only_the_dicom_objects_name_the_patient(done):
    for path in done.out.iterdir():
        named = b"SECRET-1" in path.read_bytes()
        assert named == (path.suffix == ".dcm"), path.name


def test_the_report_fetches_nothing(done):
    page = (done.out / "report.html").read_text("utf-8")
    assert "http://" not in page
    link = f'<a href="{escape(GUIDELINE["url"])}"'
    assert "https://" not in page.replace(link, "", 1), "but for what a reader may follow"
    assert page.count("data:image/png;base64,") == 2
    assert "nobody has calibrated" in page


def test_a_phantom_is_called_synthetic(model, ball, tmp_path):
    scan = write_mhd(ball, tmp_path / "phantom" / "hospital" / "patient" / "ct.mhd")
    (tmp_path / "phantom" / "manifest.json").write_text(json.dumps({"synthetic": True}))
    found = predict(PredictOptions(model, scan, tmp_path / "out", None, 1))
    assert any("synthetic" in notice for notice in found.findings["notices"])
    assert any("no DICOM object" in note for note in found.findings["notes"])
    assert found.dicom == ()


@pytest.fixture(scope="module")
def nothing(model, tmp_path_factory):
    """A prediction on a series in which there is nothing to find."""
    tmp_path = tmp_path_factory.mktemp("nothing")
    empty = balls(OBLIQUE, [])
    folder = write_series(tmp_path / "ct", empty.hu, OBLIQUE, intercept=-2000.0)
    return predict(PredictOptions(model, folder, tmp_path / "out", None, 1))


def test_nothing_found_is_written_too(nothing):
    jsonschema.Draft202012Validator(SCHEMA).validate(nothing.findings)
    assert nothing.findings["findings"] == []
    (path,) = nothing.dicom
    report = hd.sr.srread(path)
    (group,) = report.content.get_image_measurement_groups()
    said = {e.name.meaning: e.value.meaning for e in group.get_qualitative_evaluations()}
    assert said["Presence"] == "Not detected"
    assert group.finding_type.meaning == "Nodule"
    assert RESEARCH_USE in report.to_json()
    assert "marked nothing" in (nothing.out / "report.html").read_text("utf-8")


@pytest.mark.needs_package("dicom3tools")
def test_a_report_of_nothing_keeps_to_the_standard(nothing):
    keeps_to_the_standard(nothing.dicom)


def test_findings_in_lungs_have_pictures_numbers_and_sides(tmp_path):
    run = run_folder(tmp_path / "run", threshold_hu=250.0)
    scan = write_mhd(thorax([(62, 0, 60), (-62, 20, -50)]), tmp_path / "ct.mhd")
    found = predict(PredictOptions(run, scan, tmp_path / "out", None, 1))
    assert {(f["side"], f["third"]) for f in found.findings["findings"]} == {
        ("left", "upper"),
        ("right", "lower"),
    }
    for name in found.findings["files"]["pictures"]:
        pixels = np.asarray(Image.open(found.out / name))
        orange = (pixels == (255, 159, 28)).all(axis=-1).any(axis=0)
        quarter = len(orange) // 4
        assert not orange[: quarter - 10].any()  # the first picture shows the slice bare
        assert all(orange[n * quarter : (n + 1) * quarter].any() for n in (1, 2, 3))


# --- whole or absent ------------------------------------------------------------------------------


def test_the_same_scan_and_model_replace_what_was_there(model, series, tmp_path):
    options = PredictOptions(model, series, tmp_path / "out", None, 1)
    first = predict(options)
    (tmp_path / "out" / "old.txt").write_text("of before")
    second = predict(options)
    assert first.findings["findings"] == second.findings["findings"]
    assert not (tmp_path / "out" / "old.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("other", ["a note", "another scan", "a file"])
def test_a_folder_with_something_else_is_left_alone(model, ball, series, tmp_path, other):
    out = tmp_path / "out"
    if other == "a note":
        out.mkdir()
        (out / "note.txt").write_text("mine")
    elif other == "a file":
        out.write_text("mine")
    else:
        different = balls(OBLIQUE, [CENTRE + 1.0], radius_mm=5.0)
        scan = write_mhd(different, tmp_path / "other" / "ct.mhd")
        predict(PredictOptions(model, scan, out, None, 1))
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(DataError, match="out"):
        predict(PredictOptions(model, series, out, None, 1))
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit])
def test_what_stops_half_way_leaves_what_was_before(tmp_path, error):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_text("before")

    def fill():
        with folders.appearing(out) as part:
            (part / "a").write_text("half")
            raise error

    with pytest.raises(error):
        fill()
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "a"]
    assert (out / "a").read_text() == "before"


# --- models ---------------------------------------------------------------------------------------


def test_a_pth_without_the_records_of_its_run_is_refused(tmp_path):
    write_pth(tmp_path / "model.pth", tensors())
    with pytest.raises(DataError, match="numbers only"):
        open_model(tmp_path / "model.pth")


def test_a_pth_is_used_with_the_records_of_its_run(tmp_path):
    task = about(AIR)["task"]
    lines = [f"{k} = {json.dumps(v)}" for k, v in task.items()]
    text = STUDY.format(task="\n".join(lines))
    study = parse_study(text)
    (tmp_path / "study.json").write_text(json.dumps(study.to_json()))
    (tmp_path / "run.json").write_text(json.dumps({"notice": ["They are synthetic"]}))
    write_pth(tmp_path / "model.pth", tensors())
    opened = open_model(tmp_path / "model.pth")
    assert opened.about["study"] == study.digest
    assert opened.about["notices"] == ["They are synthetic"]
    assert list(opened.about["task"]["window_hu"]) == task["window_hu"]
    for name, value in tensors().items():
        assert np.array_equal(opened.tensors[name], value)


def test_a_pth_that_holds_code_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("opened",))

    torch.save({"a": Trap()}, tmp_path / "model.pth")
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(DataError, match="no file of plain tensors"):
        open_model(tmp_path / "model.pth")


@pytest.mark.parametrize("what", ["absent", "empty folder", "no model"])
def test_what_is_no_model_is_refused(tmp_path, what):
    path = tmp_path / "model.safetensors"
    if what == "empty folder":
        path = tmp_path
    elif what == "no model":
        path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="model"):
        open_model(path)


def test_results_of_a_file_that_is_no_dicom_cannot_be_sent(model, ball, tmp_path):
    scan = write_mhd(ball, tmp_path / "ct.mhd")
    with pytest.raises(DataError, match="only results on a DICOM series"):
        predict(PredictOptions(model, scan, tmp_path / "out", None, 1, to_send=True))
    assert not (tmp_path / "out").exists()
