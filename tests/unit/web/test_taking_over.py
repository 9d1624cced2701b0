"""A released model taken over by the hospital of the same console."""

from __future__ import annotations

from hashlib import sha256

import pytest
from accounting import BREAST_CANCER, FAST
from clinics import CARD, risk_folder
from consoles import WANG, Stage, finish, peopled
from sqlalchemy import update

from medfed.services import audit
from medfed.services.console import Console, Faces
from medfed.services.sites import create_site
from medfed.storage.database.tables import ModelRow
from medfed.storage.models import read_model, write_model
from medfed.web import create_app


@pytest.fixture
def both(tmp_path, sqlite_url) -> Stage:
    """A console of both faces with a finished run's model that is approved for its hospital."""
    create_site(tmp_path / "site", "north", None)
    faces = Faces(site=tmp_path / "site")
    folder = tmp_path / "console"
    console = peopled(Console.open(folder, sqlite_url, faces=faces, bcrypt_rounds=FAST))
    study = console.studies.create(WANG, BREAST_CANCER)
    console.studies.approve(WANG, study.id, study.digest)
    run = console.runs.start(WANG, study.id)
    finish(console, run)
    folder = risk_folder(console.place.run_folder(run.id))
    digest = sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    with console.database.write() as session:
        session.execute(update(ModelRow).values(sha256=digest))
    console.releases.approve(WANG, 1, "north")
    return Stage(console, create_app(console), study.id, run.id)


def test_one_click_takes_a_released_model_over_with_its_card(both):
    steward = both.client("data-steward")
    assert "Take over at north" in steward.get("/models/1").text
    answer = both.post(steward, "/models/1/take-over", "/models/1")
    assert answer.headers["Location"] == "/released/1"
    (row,) = both.console.desk.models.list(usable=True)
    model = both.console.models.find(1)
    assert (row.sha256, row.card, row.approver) == (model.sha256, CARD, "data-steward")
    assert row.recall, "the coordinator was asked at once"
    acts = audit.entries(both.console.database, words="model.admit")
    assert (acts[0].subject, acts[0].reason) == ("model 1", model.sha256)
    page = steward.get("/models/1").text
    assert "north uses it." in page
    assert "Take over at north" not in page
    both.console.releases.withdraw(WANG, 1, "wrong on small nodules")
    both.console.desk.recall.ask_all()
    assert not both.console.desk.models.list(usable=True)


def test_only_what_is_released_for_this_hospital_and_unchanged_is_taken_over(both):
    steward = both.client("data-steward")

    def refused() -> str:
        answer = both.post(steward, "/models/1/take-over", "/models/1")
        assert answer.status_code in (404, 409)
        assert not both.console.desk.models.list()
        return answer.text

    file = both.console.place.run_folder(both.run) / "model.safetensors"
    whole = file.read_bytes()
    tensors, about = read_model(file)
    write_model(file, tensors, {**about, "title": "Another"})
    assert "changed after its run" in refused()
    file.write_bytes(whole)
    both.console.releases.take_back(WANG, 1, "north")
    assert "has not approved this model for north" in refused()
    assert "Take over at north" not in steward.get("/models/1").text
    both.console.releases.approve(WANG, 1, "north")
    both.console.releases.withdraw(WANG, 1, "wrong")
    refused()
    clinician = both.client("clinician")
    assert both.post(clinician, "/models/1/take-over", "/models/1").status_code == 403


def test_a_coordinators_console_says_how_a_model_gets_to_a_hospital(stage):
    page = stage.client("coordinator").get("/models/1").text
    assert "Download the model and its card here, as text and as data." in page
    assert f"/runs/{stage.run}/files/model.safetensors" in page
    assert f"/runs/{stage.run}/files/model_card.md" in page
    assert "take-over" not in page
