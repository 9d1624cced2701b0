"""What is handed on says what the person said, and nothing else."""

from __future__ import annotations

import json

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from clinics import Clinic, clinic_of

from medfed.core.errors import SiteError
from medfed.inference import RESEARCH_USE
from medfed.services.inference.place import REVIEWED
from medfed.services.inference.sending import PacsSettings, ask_to_send
from medfed.services.trouble import Conflict, Missing
from medfed.web import WebOptions


def file_of(signed, name):
    clinic, inference = signed
    return clinic.desk.inferences.file(inference, "reviewed", name)[0]


def test_all_files_are_offered(signed):
    clinic, inference = signed
    row = clinic.desk.inferences.find(inference)
    assert clinic.desk.inferences.files(row, "reviewed") == list(REVIEWED)
    for name in ("../found/findings.json", "view-ct.nii.gz", "x"):
        with pytest.raises(Missing):
            clinic.desk.inferences.file(inference, "reviewed", name)


def test_the_segmentation_has_what_was_accepted_and_corrected_only(signed):
    document = hd.seg.segread(file_of(signed, "segmentation.dcm"))
    assert [s.SegmentLabel for s in document.SegmentSequence] == ["Nodule 1", "Nodule 2"]
    assert "12.5 mm" in document.SegmentSequence[1].SegmentDescription
    mask = np.asanyarray(nib.load(file_of(signed, "mask.nii.gz")).dataobj)
    assert set(np.unique(mask)) == {0, 1, 2}
    frames = document.pixel_array
    assert frames.astype(bool).sum() == (mask > 0).sum()


def test_the_report_names_who_verified_it(signed):
    report = hd.sr.srread(file_of(signed, "measurements.dcm"))
    (observer,) = report.VerifyingObserverSequence
    assert str(observer.VerifyingObserverName) == "李 明"
    assert observer.VerifyingOrganization == "north"
    assert len(report.content.get_volumetric_roi_measurement_groups()) == 2


def test_the_json_keeps_the_models_word_beside_the_persons(signed):
    about = json.loads(file_of(signed, "reviewed.json").read_bytes())
    assert RESEARCH_USE in about["notices"]
    assert about["signed"]["name"] == "李 明"
    accepted, corrected, rejected = about["findings"]
    assert accepted["stands"]["volume_mm3"] == pytest.approx(accepted["model"]["volume_mm3"], 1e-4)
    assert corrected["stands"]["longest_axial_diameter_mm"] == 12.5
    assert corrected["model"]["longest_axial_diameter_mm"] != 12.5
    assert corrected["stands"]["volume_mm3"] is None
    assert (rejected["stands"], rejected["comment"]) == (None, "a vessel")


def test_the_pdf_is_one_and_says_that_it_is_research(signed):
    content = file_of(signed, "report.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"%%EOF" in content[-20:]


def test_a_scan_that_is_no_longer_the_same_is_not_drawn_upon(clinic: Clinic):
    inference, reviews, who = clinic.looked(), clinic.desk.reviews, clinic.who()
    for number in (1, 2, 3):
        reviews.judge(who, inference, number, "accepted")
    _, folder = clinic.desk.inferences.scan(clinic.scan)
    for path in folder.iterdir():
        document = pydicom.dcmread(path)
        document.RescaleIntercept = float(document.RescaleIntercept) + 10
        document.save_as(path)
    reviews.sign(who, inference)
    assert clinic.do(inference) == "failed"
    job = clinic.desk.inferences.job(clinic.desk.inferences.find(inference))
    assert "no longer the one" in job.message


def test_a_review_in_which_all_is_rejected_says_that_and_claims_no_absence(tmp_path):
    clinic = clinic_of(tmp_path, options=WebOptions(live=False))
    inference, reviews, who = clinic.looked(), clinic.desk.reviews, clinic.who()
    for number in (1, 2, 3):
        reviews.judge(who, inference, number, "rejected")
    reviews.sign(who, inference)
    assert clinic.do(inference) == "finished"
    row = clinic.desk.inferences.find(inference)
    assert "segmentation.dcm" not in clinic.desk.inferences.files(row, "reviewed")
    path, _ = clinic.desk.inferences.file(inference, "reviewed", "measurements.dcm")
    report = hd.sr.srread(path)
    assert report.VerificationFlag == "VERIFIED"
    (group,) = report.content.get_image_measurement_groups()
    said = [e.value.meaning for e in group.get_qualitative_evaluations()]
    assert "All rejected; absence of nodules is not asserted" in said
    assert "Absent" not in report.to_json()
    assert "not that there is no nodule" in row.exported["notes"][0]


def test_nothing_is_sent_unsigned_or_to_where_nobody_said(signed, clinic: Clinic):
    inference = clinic.looked()
    with pytest.raises(Conflict, match="not signed"):
        ask_to_send(clinic.desk.inferences, clinic.who(), inference)
    other, done = signed
    with pytest.raises(Conflict, match="no PACS"):
        ask_to_send(other.desk.inferences, other.who(), done)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("address = ", "no TOML"),
        ('address = "nowhere"', "address of a PACS"),
        ('adress = "https://pacs.example/web"', "something else than"),
        ('address = "https://pacs.example/web"\ntls = "yes"', "another kind"),
    ],
)
def test_settings_of_a_pacs_that_make_no_sense_are_named(tmp_path, text, words):
    (tmp_path / "pacs.toml").write_text(text)
    with pytest.raises(Exception, match=words) as refused:
        PacsSettings.read(tmp_path)
    assert isinstance(refused.value, SiteError) or "PACS" in str(refused.value)
