"""What the charts of runs and of the federation are given, and what is not told at all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from accounting import FAST
from consoles import WANG, Stage, peopled

from medfed.core.events import ReplyCounted, RoundFinished, RoundStarted, RunStarted
from medfed.services.console import Console, Faces
from medfed.services.console.recording import Recorder
from medfed.services.sites import create_site
from medfed.web import create_app

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
TOLD = "How unlike the hospitals are"


def data_of(page: str, name: str):
    found = re.search(
        rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL
    )
    assert found
    return json.loads(found[1])


def started(stage, text: str):
    row = stage.console.studies.create(WANG, text)
    stage.console.studies.approve(WANG, row.id, row.digest)
    return stage.console.runs.start(WANG, row.id)


def test_the_map_says_what_each_hospital_does_and_what_travelled(stage):
    text = stage.console.studies.find(1).toml
    run = started(stage, text)
    recorder = Recorder(stage.console.database, run.id, 0)
    traffic = {"north": 3000}, {"north": 4000}
    change = {"north": {"cosine": 0.9, "norm": 0.1, "weight": 57.0}}
    for event in (
        RunStarted(run.id, run.digest, run.title, tuple(run.sites), 2),
        ReplyCounted(1, "north", 0.1, 10),
        RoundFinished(1, ("north",), 0.5, 30, 40, None, {}, *traffic, change),
        RoundStarted(2, "train", ("north",)),
    ):
        recorder(event)
    recorder.end(lambda row: None)
    client = stage.client("viewer")
    drawn = data_of(client.get("/").text, "map")["sites"]
    centre, north, south = drawn
    assert (centre["doing"], south["doing"]) == ("", "")
    assert north == {
        "name": "north", "state": "local", "doing": "train", "word": "training",
        "up": 3000, "down": 4000, "patients": 4, "trained": 57,
    }  # fmt: skip
    _centre, row, _south = client.get("/api/v1/sites").json["items"]
    assert (row["doing"], row["bytes_up"], row["bytes_down"], row["trained"]) == (
        "train", 3000, 4000, 57,
    )  # fmt: skip
    rounds = client.get(f"/api/v1/runs/{run.id}/rounds").json["items"]
    assert [each["site_up"] for each in rounds] == [{"north": 3000}]
    assert "3.0 kB" in client.get("/sites/").text


@pytest.mark.parametrize(
    ("top", "end", "why"),
    [
        ("", '[aggregator]\nname = "secure-sum"\n', "sees sums only (secure-sum)"),
        ('report = "overall"\n', "", "among the sums"),
    ],
)
def test_what_a_study_hides_is_not_drawn_and_the_page_says_why(stage, top, end, why):
    run = started(stage, f"{top}{stage.console.studies.find(1).toml}\n{end}")
    page = stage.client("viewer").get(f"/runs/{run.id}").text
    assert TOLD in page
    assert why in page
    assert "data-unlike" not in page


def test_under_privacy_lines_no_direction_is_looked_at(stage):
    run = started(stage, (EXAMPLES / "breast_cancer_dp.toml").read_text("utf-8"))
    page = stage.client("viewer").get(f"/runs/{run.id}").text
    assert "are not looked at" in page
    plain = stage.client("viewer").get(f"/runs/{stage.run}").text
    assert "data-unlike" in plain
    assert "are not looked at" not in plain


def test_releases_are_shown_the_latest_first(stage):
    client = stage.client("coordinator")
    assert "Models that are approved for a hospital appear here." in client.get("/").text
    for site in ("north", "south"):
        stage.post(client, "/models/1/release", site=site)
    page = client.get("/").text
    assert page.index("for south") < page.index("for north")
    stage.console.releases.withdraw(WANG, 1, "wrong")
    assert "withdrawn" in client.get("/").text


def test_a_console_of_both_faces_shows_both_halves(tmp_path):
    create_site(tmp_path / "site", "north", None)
    faces = Faces(site=tmp_path / "site", coordinates=True)
    console = peopled(Console.open(tmp_path / "console", "", faces=faces, bcrypt_rounds=FAST))
    stage = Stage(console, create_app(console), 0, "")
    page = stage.client("administrator").get("/").text
    assert "Nothing is running" in page
    assert "This hospital: north" in page
    assert "Latest imports" in page
    viewer = stage.client("viewer").get("/").text
    assert "Latest imports" not in viewer
