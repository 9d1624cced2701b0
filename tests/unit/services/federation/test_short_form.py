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


def test_the_study_protects_as_the_form_asks(file):
    given = json.loads(file.read_text())
    ranges = {"age": [20, 90], 'b"mi': [15, 45]}
    given |= {"dp_epsilon": 2.5, "ranges": ranges, "encryption": "ckks"}
    given["workers"].append({"id": "west", "data": "south"})
    given["patient"] = "number"
    for worker, patients in zip(given["workers"], (200, 300, 150), strict=True):
        worker["patients"] = patients
    file.write_text(json.dumps(given))
    study = short_study(read_coordinator(file).short)
    assert study.aggregator.name == "ckks"
    (line,) = study.privacy
    assert (line.name, line.options["epsilon"]) == ("dp-sgd", 2.5)
    assert dict(line.options["patients"]) == {"north": 200, "south": 300, "west": 150}
    assert study.source.options["patient"] == "number"
    assert study.task.options["public_ranges"] == ranges


def test_the_coordinator_listens_where_its_address_says(file):
    given = {**json.loads(file.read_text()), "address": "https://127.0.0.1:19443"}
    file.write_text(json.dumps(given))
    settings = read_coordinator(file)
    assert (settings.bind_host, settings.bind_port) == ("127.0.0.1", 19443)


def test_a_port_is_that_of_the_sites_console(file):
    given = json.loads(file.read_text())
    given["workers"][0]["port"] = 9001
    file.write_text(json.dumps(given))
    assert [read_site(file, {"id": name}).port for name in ("north", "south")] == [9001, 0]


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
