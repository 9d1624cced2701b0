"""The short form becomes a federation whose parts are all there and know each other."""

import json

import pytest

from medfed.core.study_file import read_study
from medfed.federation.enrolment.roster import enrolled_sites
from medfed.federation.keys import load_public
from medfed.federation.settings.coordinator import read_coordinator
from medfed.federation.settings.site import read_site
from medfed.services.federation.short_form import prepare, short_study
from medfed.services.sites import open_site


@pytest.fixture
def file(tmp_path):
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
    given = {
        "workers": [{"id": name, "data": name} for name in ("north", "south")],
        "model": "logistic", "rounds": 3, "epochs": 2, "batch_size": 16,
        "target": "out come", "positive": "> 0", "numeric": ["age", "b\"mi"],
    }  # fmt: skip
    (tmp_path / "f.json").write_text(json.dumps(given))
    return tmp_path / "f.json"


def made(file, said):
    settings = read_coordinator(file)
    prepare(settings, settings.short, said.append)
    return settings


def test_sites_are_enrolled_trust_the_coordinator_and_have_approved_the_study(file):
    said = []
    settings = made(file, said)
    home = settings.folder
    study = read_study(home.parent / "study.toml")
    assert [site.name for site in enrolled_sites(home)] == ["north", "south"]
    for name in ("north", "south"):
        site = open_site(home.parent / name)
        assert site.coordinator == load_public(home / "key.pub")
        assert site.folder.approved(study.digest) == study
        line = read_site(file, {"id": name})
        assert (line.folder, line.data) == (home.parent / name, file.parent / name)
        assert line.coordinator == settings.address
    assert sum("medfed site --config" in text for text in said) == 2


def test_started_again_keys_and_enrolments_stay_as_they_are(file):
    home = made(file, []).folder
    before = enrolled_sites(home), (home / "ca.pem").read_bytes()
    made(file, [])
    assert (enrolled_sites(home), (home / "ca.pem").read_bytes()) == before


def test_the_study_says_what_the_form_said(file):
    study = short_study(read_coordinator(file).short)
    assert (study.sites, study.rounds) == (("north", "south"), 3)
    options = study.strategy.options
    assert (options["local_epochs"], options["batch_size"]) == (2, 16)
    assert study.task.options["target"] == "out come"
    assert study.task.options["numeric"] == ("age", 'b"mi')
    assert study.task.options["hidden"] == ()


def test_the_unet_needs_no_columns(file):
    given = json.loads(file.read_text()) | {"model": "unet"}
    file.write_text(json.dumps(given))
    assert short_study(read_coordinator(file).short).task.name == "nodule-segmentation"
