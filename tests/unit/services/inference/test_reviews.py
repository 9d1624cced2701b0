"""Findings are looked over by people, who sign, and nobody else's word is overwritten."""

from __future__ import annotations

import shutil

import nibabel as nib
import numpy as np
import pytest
from clinics import ANSWERS, GRID, Clinic

from medfed.core.errors import AccessError, DataError
from medfed.services import audit
from medfed.services.trouble import Conflict, Missing


def test_a_scan_is_looked_at_and_the_findings_are_kept(clinic: Clinic):
    inference = clinic.looked()
    row = clinic.desk.inferences.find(inference)
    assert (row.scan, row.starter) == (clinic.scan, "clinician")
    assert row.patient
    standing = clinic.desk.reviews.standing(inference)
    assert [each.number for each in standing] == [1, 2, 3]
    assert [dict(each.body) for each in standing] == row.result["findings"]
    assert all(each.review is None for each in standing)
    assert clinic.desk.inferences.to_review() == 1


def test_the_viewers_copy_lies_where_the_scan_does(clinic: Clinic):
    inference = clinic.looked()
    path, kind = clinic.desk.inferences.file(inference, "view", "view-marks.nii.gz")
    assert kind == "application/gzip"
    marks = nib.load(path)
    scan = nib.load(path.with_name("view-ct.nii.gz"))
    assert np.allclose(marks.affine, scan.affine)
    voxels = np.asanyarray(marks.dataobj)
    for each in clinic.desk.reviews.standing(inference):
        at = np.argwhere(voxels == each.number).mean(axis=0)
        ras = (marks.affine @ [*at, 1])[:3]
        assert np.allclose(ras * (-1, -1, 1), each.body["centre_world_lps_mm"], atol=0.01)
        inside = np.asanyarray(scan.dataobj)[voxels == each.number]
        assert inside.mean() == pytest.approx(each.body["mean_hu"], abs=0.1)


def test_the_latest_word_counts_and_all_of_them_are_kept(clinic: Clinic):
    inference, reviews, who = clinic.looked(), clinic.desk.reviews, clinic.who()
    first = reviews.judge(who, inference, 1, "accepted")
    with pytest.raises(Conflict, match="meanwhile"):  # somebody who saw no review yet
        reviews.judge(who, inference, 1, "rejected")
    reviews.judge(who, inference, 1, "rejected", comment="a vessel", last=first.id)
    standing = reviews.standing(inference)[0]
    assert [r.verdict for r in standing.history] == ["accepted", "rejected"]
    assert standing.review.comment == "a vessel"
    assert standing.review.reviewer == "clinician"
    (act, *_) = audit.entries(clinic.stage.console.database, words=inference)
    assert act.action == "inference.review"


@pytest.mark.parametrize(
    ("verdict", "changes", "words"),
    [
        ("maybe", {}, "no verdict"),
        ("accepted", {"diameter_mm": 4}, "only a correction"),
        ("corrected", {}, "nothing was corrected"),
        ("corrected", {"diameter_mm": "wide"}, "not a number"),
        ("corrected", {"diameter_mm": 10**400}, "not a number"),
        ("corrected", {"diameter_mm": 0.1}, "between 1 and 200"),
        ("corrected", {"centre_mm": [1, 2]}, "three coordinates"),
        ("corrected", {"centre_mm": [1e6, 0, 0]}, "not in the scan"),
        ("corrected", {"centre_mm": [1, 2, float("nan")]}, "not a number"),
        ("corrected", {"attenuation": "liquid"}, "no kind"),
        ("corrected", {"score": 1}, "cannot be corrected"),
    ],
)
def test_what_is_no_review_is_refused(signed, verdict, changes, words):
    clinic, inference = signed
    with pytest.raises(DataError, match=words):
        clinic.desk.reviews.judge(clinic.who(), inference, 1, verdict, changes=changes)
    assert len(clinic.desk.reviews.standing(inference)[0].history) == 1


def test_corrections_within_the_scan_are_taken(clinic: Clinic):
    inference, who = clinic.looked(), clinic.who()
    centre = GRID.to_world((8.0, 20.0, 20.0)).tolist()
    changes = {"centre_mm": centre, "attenuation": "ground-glass", "diameter_mm": ""}
    review = clinic.desk.reviews.judge(who, inference, 2, "corrected", changes=changes)
    assert review.changes == {"centre_mm": centre, "attenuation": "ground-glass"}
    judged = clinic.desk.reviews.judgements(inference)[2]
    assert judged.attenuation == "ground-glass"
    assert judged.centre_mm == tuple(centre)


def test_only_whole_reviews_are_signed_and_signed_ones_stay_as_they_are(clinic: Clinic):
    inference, reviews, who = clinic.looked(), clinic.desk.reviews, clinic.who()
    with pytest.raises(Conflict, match="not all findings"):
        reviews.sign(who, inference)
    saw = [reviews.judge(who, inference, n, "accepted").id for n in (1, 2, 3)]
    reviews.sign(who, inference)
    with pytest.raises(Conflict, match="is signed"):
        reviews.judge(who, inference, 1, "rejected", last=saw[0])
    with pytest.raises(Conflict, match="being worked on"):
        reviews.reopen(who, inference)
    assert clinic.do(inference) == "finished"
    assert clinic.desk.inferences.files(clinic.desk.inferences.find(inference), "reviewed")
    assert clinic.desk.inferences.to_review() == 0
    reviews.reopen(who, inference)
    row = clinic.desk.inferences.find(inference)
    assert (row.signed, row.exported) == (None, {})
    with pytest.raises(Missing):  # what was made from the old signature is offered no more
        clinic.desk.inferences.file(inference, "reviewed", "segmentation.dcm")
    reviews.judge(who, inference, 1, "rejected", last=saw[0])
    reviews.sign(who, inference)
    assert clinic.do(inference) == "finished"


@pytest.mark.parametrize("name", ["viewer", "auditor", "administrator", "data-steward"])
def test_whoever_is_no_clinician_neither_asks_nor_reviews(signed, name):
    clinic, inference = signed
    who, desk = clinic.who(name), clinic.desk
    for deed in (
        lambda: desk.inferences.look(who, clinic.nodules, clinic.scan),
        lambda: desk.inferences.assess(who, clinic.risk, ANSWERS),
        lambda: desk.reviews.judge(who, inference, 1, "accepted"),
        lambda: desk.reviews.sign(who, inference),
    ):
        with pytest.raises(AccessError):
            deed()


def test_a_correction_that_cannot_be_drawn_is_said_and_can_be_mended(clinic: Clinic):
    inference, reviews, who = clinic.looked(), clinic.desk.reviews, clinic.who()
    bodies = [each.body for each in reviews.standing(inference)]
    reviews.judge(who, inference, 1, "accepted")
    inside = {"centre_mm": bodies[0]["centre_world_lps_mm"], "diameter_mm": 1.0}
    saw = reviews.judge(who, inference, 2, "corrected", changes=inside)
    reviews.judge(who, inference, 3, "rejected")
    reviews.sign(who, inference)
    assert clinic.do(inference) == "failed"
    job = clinic.desk.inferences.job(clinic.desk.inferences.find(inference))
    assert "within other findings" in job.message
    reviews.reopen(who, inference)
    reviews.judge(who, inference, 2, "rejected", last=saw.id)
    reviews.sign(who, inference)
    assert clinic.do(inference) == "finished"


def test_nothing_is_made_ready_that_is_signed_no_more(clinic: Clinic):
    inference, reviews, who = clinic.looked(), clinic.desk.reviews, clinic.who()
    saw = [reviews.judge(who, inference, n, "accepted").id for n in (1, 2, 3)]
    reviews.sign(who, inference)
    shutil.move(clinic.desk.place.found(inference), clinic.desk.place.console / "aside")
    assert clinic.do(inference) == "failed"
    shutil.move(clinic.desk.place.console / "aside", clinic.desk.place.found(inference))
    reviews.reopen(who, inference)
    reviews.judge(who, inference, 1, "rejected", last=saw[0])
    with pytest.raises(Conflict, match="not signed"):
        clinic.desk.inferences.again(who, inference)
    row = clinic.desk.inferences.find(inference)
    clinic.desk.inferences.jobs.queue(who, row.job)  # as if it had been asked for before
    assert clinic.do(inference) == "failed"
    row = clinic.desk.inferences.find(inference)
    assert row.exported == {}
    assert not clinic.desk.place.reviewed(inference).exists()


def test_a_scan_deleted_while_a_model_looks_leaves_no_picture(clinic: Clinic, monkeypatch):
    from medfed.services.prediction import predict as predicting

    row = clinic.desk.inferences.look(clinic.who(), clinic.nodules, clinic.scan)
    hospital, predict = clinic.stage.console.hospital, predicting.predict

    def deleted_meanwhile(*given):
        done = predict(*given)
        hospital.scans.delete(clinic.who("data-steward"), clinic.scan)
        clinic.desk.place.folder(row.id).mkdir(parents=True, exist_ok=True)
        done.out.mkdir()  # it appears just after what was there was removed
        return done

    monkeypatch.setattr(predicting, "predict", deleted_meanwhile)
    assert clinic.do(row.id) == "failed"
    assert not clinic.desk.place.folder(row.id).exists()
    assert clinic.desk.inferences.find(row.id).result == {}


def test_nobody_signs_what_they_did_not_see(clinic: Clinic):
    inference, reviews, who = clinic.looked(), clinic.desk.reviews, clinic.who()
    saw = [reviews.judge(who, inference, n, "accepted").id for n in (1, 2, 3)]
    reviews.judge(clinic.who(), inference, 1, "rejected", last=saw[0])  # on another page
    with pytest.raises(Conflict, match="meanwhile"):
        reviews.sign(who, inference, last=max(saw))
    assert clinic.desk.inferences.find(inference).signed is None
    assert reviews.sign(who, inference, last=max(saw) + 1).signed is not None
