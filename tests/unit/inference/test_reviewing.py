"""Findings as a person left them, and what DICOM says of them then."""

from __future__ import annotations

import subprocess

import highdicom as hd
import numpy as np
import pytest
from unit.connectors.dicom_files import write_series
from unit.inference.threshold import about, balls, oblique, tensors, thorax

from medfed.connectors.scans import read_scan
from medfed.core.errors import DataError
from medfed.imaging.geometry import Geometry
from medfed.inference import NodulePredictor, dicom_seg, dicom_sr
from medfed.inference.dicom_common import Reader, Source, quiet
from medfed.inference.reviewing import Judgement, reviewed

GRID = Geometry((16, 56, 60), (2.5, 0.9, 0.8), (10.0, -20.0, 30.0), oblique())
CENTRES = [GRID.to_world(at) for at in ((6.0, 14.0, 14.0), (7.0, 40.0, 20.0), (8.0, 26.0, 46.0))]
READER = Reader("李 明", "north")
ACCEPTED, REJECTED = Judgement("accepted"), Judgement("rejected")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Three balls in air, as a DICOM series."""
    folder = tmp_path_factory.mktemp("series")
    volume = balls(GRID, CENTRES, radius_mm=5.0)
    return read_scan(write_series(folder, volume.hu, GRID, intercept=-2000.0))


@pytest.fixture(scope="module")
def predictor():
    return NodulePredictor(tensors(), about(-250.0), "cd" * 32, threads=1)


@pytest.fixture(scope="module")
def found(scan, predictor):
    return predictor.predict(scan.volume)


def bodies(found):
    return [finding.to_json() for finding in found.findings]


def judge(found, scan, *judgements):
    said = dict(enumerate(judgements, start=1))
    return reviewed(bodies(found), said, scan.volume, found.labels)


def test_what_is_accepted_stays_as_it_is_and_what_is_rejected_goes(scan, found):
    kept, labels = judge(found, scan, ACCEPTED, REJECTED, ACCEPTED)
    assert [(f.number, f.name) for f in kept] == [(1, 1), (2, 3)]
    assert np.array_equal(labels == 1, found.labels == 1)
    assert np.array_equal(labels == 2, found.labels == 3)
    for now, before in zip(kept, (found.findings[0], found.findings[2]), strict=True):
        assert {**now.to_json(), "number": before.number} == before.to_json()


def test_a_corrected_place_and_size_become_a_ball_there(scan, found):
    centre = tuple(GRID.to_world((10.0, 30.0, 30.0)).tolist())
    moved = Judgement("corrected", diameter_mm=12.0, centre_mm=centre)
    kept, labels = judge(found, scan, ACCEPTED, moved, REJECTED)
    at = GRID.to_world(np.argwhere(labels == 2))
    assert np.linalg.norm(at.mean(axis=0) - centre) < 0.5
    assert np.linalg.norm(at - centre, axis=1).max() <= 6.0
    assert kept[1].volume_mm3 == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.1)
    assert kept[1].diameter.mm == 12.0
    assert not kept[1].outlined
    assert kept[0].outlined


def test_a_ball_takes_no_voxel_of_another_finding(scan, found):
    near = bodies(found)[0]["centre_world_lps_mm"]
    inside = Judgement("corrected", diameter_mm=14.0, centre_mm=tuple(near))
    kept, labels = judge(found, scan, ACCEPTED, inside, REJECTED)
    assert np.array_equal(labels == 1, found.labels == 1)
    assert kept[1].voxels == (labels == 2).sum() > 0
    lost = Judgement("corrected", diameter_mm=1.0, centre_mm=tuple(near))
    with pytest.raises(DataError, match="within other findings"):
        judge(found, scan, ACCEPTED, lost, REJECTED)


def test_a_place_outside_the_scan_is_refused(scan, found):
    away = Judgement("corrected", centre_mm=(900.0, 0.0, 0.0))
    with pytest.raises(DataError, match="not in the scan"):
        judge(found, scan, ACCEPTED, away, ACCEPTED)


def test_a_corrected_kind_keeps_the_outline(scan, found):
    other = Judgement("corrected", attenuation="part-solid")
    kept, labels = judge(found, scan, other, REJECTED, REJECTED)
    assert kept[0].attenuation == "part-solid"
    assert np.array_equal(labels == 1, found.labels == 1)


def test_a_moved_finding_has_its_side_looked_up_anew():
    volume = thorax([(62, 0, 60)])
    found = NodulePredictor(tensors(), about(250.0), threads=1).predict(volume)
    (body,) = bodies(found)
    assert (body["side"], body["third"]) == ("left", "upper")
    moved = Judgement("corrected", centre_mm=(-62.0, 20.0, -50.0))
    (kept,), _ = reviewed([body], {1: moved}, volume, found.labels)
    assert (kept.side, kept.third) == ("right", "lower")


@pytest.fixture(scope="module")
def documents(scan, found, predictor, tmp_path_factory):
    """DICOM objects of one accepted, one corrected and one rejected finding."""
    moved = Judgement("corrected", diameter_mm=12.5)
    kept, labels = judge(found, scan, ACCEPTED, moved, REJECTED)
    folder = tmp_path_factory.mktemp("dicom")
    source = Source.of(scan.series.slices, scan.volume.geometry)
    with quiet():
        mask = dicom_seg.segmentation(source, labels, kept, predictor.model)
        report = dicom_sr.report(source, mask, kept, predictor.model, READER)
        nothing = dicom_sr.nothing_found(source, predictor.model, READER)
        rejected = dicom_sr.all_rejected(source, predictor.model, READER)
        made = {"seg": mask, "sr": report, "none": nothing, "rejected": rejected}
        for name, document in made.items():
            document.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    return folder


def test_the_segmentation_calls_findings_as_people_know_them(documents):
    document = hd.seg.segread(documents / "seg.dcm")
    assert [s.SegmentLabel for s in document.SegmentSequence] == ["Nodule 1", "Nodule 2"]
    kinds = [s.SegmentAlgorithmType for s in document.SegmentSequence]
    assert kinds == ["AUTOMATIC", "SEMIAUTOMATIC"]
    words = [s.SegmentDescription for s in document.SegmentSequence]
    assert "seen by a reader" in words[0]
    assert "12.5 mm" in words[1]
    assert "ball" in words[1]
    assert "mm3" not in words[1]


def test_the_report_is_verified_by_the_reader(documents):
    for name in ("sr", "none", "rejected"):
        report = hd.sr.srread(documents / f"{name}.dcm")
        assert report.VerificationFlag == "VERIFIED"
        (observer,) = report.VerifyingObserverSequence
        assert str(observer.VerifyingObserverName) == READER.name
        assert observer.VerifyingOrganization == READER.organisation
    report = hd.sr.srread(documents / "sr.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    names = [{m.name.meaning for m in group.get_measurements()} for group in groups]
    assert "Volume" in names[0]
    assert names[1] == {"Long axis", "Certainty of Finding"}


@pytest.mark.needs_package("dicom3tools")
@pytest.mark.parametrize("name", ["seg", "sr", "none"])
def test_reviewed_objects_keep_to_the_standard(documents, name):
    command = ["dciodvfy", "-new", str(documents / f"{name}.dcm")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = (done.stdout + done.stderr).splitlines()
    assert not [line for line in said if line.startswith("Error")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", ("Presence", "260415000", "SCT", "Not detected")),
        (
            "rejected",
            (
                "Reader's verdict on the algorithm's findings",
                "all-rejected",
                "99MEDFED",
                "All rejected; absence of nodules is not asserted",
            ),
        ),
    ],
)
def test_a_reader_is_not_made_to_say_that_there_is_no_nodule(documents, name, said):
    report = hd.sr.srread(documents / f"{name}.dcm")
    (group,) = report.content.get_image_measurement_groups()
    name, *value = said
    found = {each.name.meaning: each.value for each in group.get_qualitative_evaluations()}
    told = found[name]
    assert [told.value, told.scheme_designator, told.meaning] == value
    assert "Absent" not in report.to_json()
