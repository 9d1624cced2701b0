"""Models that a hospital uses, and risks by them."""

from __future__ import annotations

import pytest
from clinics import ANSWERS, CARD, GUIDELINE, Clinic, risk_folder
from unit.inference.threshold import GUIDELINE as OWN
from unit.inference.threshold import run_folder

from medfed.cli import main
from medfed.core.errors import AccessError, DataError
from medfed.core.registry import Part
from medfed.inference import RESEARCH_USE
from medfed.services.machine_acts import whoever
from medfed.services.trouble import Conflict, Missing
from medfed.storage.models import read_model, write_model


def test_models_are_approved_with_card_and_guideline(clinic: Clinic):
    nodules, risk = (clinic.desk.models.find(n) for n in (clinic.nodules, clinic.risk))
    assert (nodules.kind, risk.kind) == ("scan", "table")
    assert (risk.card, risk.guideline) == (CARD, GUIDELINE)
    assert nodules.guideline == OWN, "which the model names itself"
    assert clinic.desk.place.model_file(risk.sha256).is_file()
    asked = [q.name for q in clinic.desk.models.questions(risk)]
    assert asked == ["age", "size", "smoker"]


def test_a_withdrawn_model_is_asked_no_more_and_can_come_back(clinic: Clinic, tmp_path):
    models, steward = clinic.desk.models, clinic.who("data-steward")
    models.withdraw(steward, clinic.nodules)
    with pytest.raises(Conflict, match="withdrawn"):
        clinic.desk.inferences.look(clinic.who(), clinic.nodules, clinic.scan)
    with pytest.raises(Conflict, match="already"):
        models.withdraw(steward, clinic.nodules)
    assert models.admit(steward, run_folder(tmp_path / "again", threshold_hu=-250.0)).id == (
        clinic.nodules
    )
    assert models.find(clinic.nodules).state == "approved"


def test_whoever_has_the_machine_approves_on_the_command_line(clinic: Clinic, tmp_path, capsys):
    site, run = clinic.desk.place.site, risk_folder(tmp_path / "mine")
    clinic.desk.models.withdraw(clinic.who("data-steward"), clinic.risk)
    link = ["--guideline", "https://other.example/", "--title", "Another"]
    main(["site", "admit", str(site), str(run), *link])
    row = clinic.desk.models.find(clinic.risk)
    assert row.sha256 in capsys.readouterr().out
    assert (row.state, row.guideline["title"]) == ("approved", "Another")
    assert row.approver == whoever().name
    with pytest.raises(SystemExit) as ended:
        main(["site", "admit", str(site), str(tmp_path / "none")])
    assert ended.value.code == 3
    assert "none" in capsys.readouterr().err


def test_only_stewards_approve_models(clinic: Clinic, tmp_path):
    with pytest.raises(AccessError):
        clinic.desk.models.admit(clinic.who(), risk_folder(tmp_path / "mine"))


def test_what_cannot_be_used_is_refused_and_nothing_is_left(clinic: Clinic, tmp_path):
    models, steward = clinic.desk.models, clinic.who("data-steward")
    before = sorted(clinic.desk.place.models.iterdir())
    task = Part("patch-segmentation", {}).to_json()
    folder = tmp_path / "patches"
    folder.mkdir()
    write_model(folder / "model.safetensors", {}, {"study": "ab" * 32, "task": task})
    with pytest.raises(DataError, match="cannot be used on single patients"):
        models.admit(steward, folder)
    for url in ("http://x.example", "javascript:alert(1)", "https://", "nonsense"):
        with pytest.raises(DataError, match="guideline"):
            models.admit(steward, risk_folder(tmp_path / "risk2"), guideline={"url": url})
    assert sorted(clinic.desk.place.models.iterdir()) == before


def test_a_patients_risk_is_computed_and_explained(clinic: Clinic):
    row = clinic.desk.inferences.assess(clinic.who(), clinic.risk, ANSWERS)
    assert clinic.do(row.id) == "finished"
    result = clinic.desk.inferences.find(row.id).result
    assert RESEARCH_USE in result["notices"]
    parts = {part["name"]: part["log_odds"] for part in result["risk"]["contributions"]}
    assert parts == pytest.approx({"age": 1.0, "size": -1.0, "smoker": 1.0}, abs=1e-5)


def test_a_risk_is_not_asked_of_a_model_of_scans_or_with_wrong_answers(clinic: Clinic):
    who, desk = clinic.who(), clinic.desk
    with pytest.raises(Missing):
        desk.inferences.assess(who, clinic.nodules, ANSWERS)
    with pytest.raises(DataError, match="age"):
        desk.inferences.assess(who, clinic.risk, {**ANSWERS, "age": "old"})
    with pytest.raises(Missing):
        desk.inferences.look(who, clinic.nodules, "no-such-scan")
    assert desk.inferences.list()[1] == 0


def test_what_failed_can_be_tried_again(clinic: Clinic):
    desk = clinic.desk
    row = desk.inferences.look(clinic.who(), clinic.nodules, clinic.scan)
    file = desk.place.model_file(desk.models.find(clinic.nodules).sha256)
    away = file.rename(file.with_name("away"))
    assert clinic.do(row.id) == "failed"
    away.rename(file)
    desk.inferences.again(clinic.who(), row.id)
    assert clinic.do(row.id) == "finished"
    with pytest.raises(Conflict, match="not failed"):
        desk.inferences.again(clinic.who(), row.id)


def test_a_deleted_scan_takes_along_what_models_made_of_it(clinic: Clinic):
    inference, desk = clinic.looked(), clinic.desk
    clinic.desk.reviews.judge(clinic.who(), inference, 1, "accepted", comment="plain to see")
    hospital = clinic.stage.console.hospital
    assert hospital is not None
    hospital.scans.delete(clinic.who("data-steward"), clinic.scan)
    assert not desk.place.folder(inference).exists()
    with pytest.raises(Missing):
        desk.inferences.file(inference, "view", "view-ct.nii.gz")
    assert desk.reviews.standing(inference)[0].review.comment == "plain to see"
    page = clinic.stage.client("clinician").get(f"/inference/{inference}")
    assert page.status_code == 200


@pytest.mark.parametrize("kind", ["scan", "table"])
def test_a_model_whose_file_is_another_than_was_approved_is_not_used(clinic: Clinic, kind):
    number = clinic.nodules if kind == "scan" else clinic.risk
    file = clinic.desk.place.model_file(clinic.desk.models.find(number).sha256)
    tensors, about = read_model(file)
    write_model(file, {name: value + 1 for name, value in tensors.items()}, about)
    inferences, who = clinic.desk.inferences, clinic.who()
    if kind == "scan":
        row = inferences.look(who, number, clinic.scan)
    else:
        row = inferences.assess(who, number, ANSWERS)
    assert clinic.do(row.id) == "failed"
    assert "another than the one approved" in inferences.job(row).message
    assert inferences.find(row.id).result == {}
