"""Comparisons: what may be asked for, and finished runs side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from accounting import BREAST_CANCER
from consoles import WANG, finish, stage_of

from medfed.core.errors import RunError, StudyError
from medfed.services.console.comparisons import Comparison, Unusable
from medfed.services.console.side_by_side import side_by_side

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"


@pytest.fixture
def console(tmp_path, sqlite_url):
    return stage_of(tmp_path / "console", sqlite_url).console


def finished(console, text: str) -> str:
    row = console.studies.create(WANG, text)
    console.studies.approve(WANG, row.id, row.digest)
    run = console.runs.start(WANG, row.id)
    finish(console, run)
    return run.id


def test_a_comparison_is_the_options_of_a_command():
    wish = Comparison(("federated", "local"), ("fedprox",), 2)
    words = ["--recipes", "federated,local", "--strategies", "fedprox", "--seeds", "2"]
    assert wish.words() == words
    assert Comparison(**wish.to_json()) == wish


@pytest.mark.parametrize(
    "wish",
    [
        {"recipes": ("federated", "study.toml")},
        {"strategies": ("--out",)},
        {"recipes": ("federated",)},
        {"recipes": ()},
        {"seeds": 0},
        {"seeds": 1000},
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_remedy(wish):
    with pytest.raises(StudyError) as caught:
        Comparison(**wish)
    assert caught.value.remedy


def test_runs_side_by_side(console):
    first = console.runs.list()[0][0].id
    other = finished(console, BREAST_CANCER.replace('"fedavg"', '"fedprox"'))
    found = side_by_side(console.runs, console.models, [first, other])
    assert [run["strategy"] for run in found["runs"]] == ["fedavg", "fedprox"]
    assert found["same_patients"]
    row = found["figures"][0]
    assert (row["site"], row["metric"], row["values"][0]["value"]) == ("", "auc", 0.91)
    assert found["runs"][0]["bytes_up"] == 60
    assert found["runs"][0]["curve"][0] == [0, 0.9]


def test_runs_on_other_patients_are_told_apart(console):
    first = console.runs.list()[0][0].id
    other = finished(console, BREAST_CANCER.replace("test = 0.3", "test = 0.2"))
    assert not side_by_side(console.runs, console.models, [first, other])["same_patients"]


def test_what_cannot_stand_side_by_side_is_refused(console):
    first = console.runs.list()[0][0].id
    waiting = console.runs.start(WANG, 1).id
    with pytest.raises(StudyError, match="no choice"):
        side_by_side(console.runs, console.models, [first, first])
    with pytest.raises(StudyError, match="not finished"):
        side_by_side(console.runs, console.models, [first, waiting])
    with pytest.raises(RunError, match="no such run"):
        side_by_side(console.runs, console.models, [first, "none"])


def test_an_engine_that_cannot_be_had_is_refused(console):
    with pytest.raises(StudyError, match="cannot be had"):
        console.runs.start(WANG, 1, "federation")
    assert console.runs.start(WANG, 1, "local").engine == "local"


PRIVATE = (EXAMPLES / "breast_cancer_dp.toml").read_text("utf-8")
OPEN = Comparison(("federated", "leave-one-out"), seeds=1)


@pytest.mark.parametrize(
    ("scores", "wish", "says"),
    [
        ("none", OPEN, "does not declare these patients public"),
        ("public", Comparison(), "local, pooled would train without"),
    ],
)
def test_a_comparison_does_not_break_a_studys_privacy(console, scores, wish, says):
    text = PRIVATE.replace('scores = "public"', f'scores = "{scores}"')
    row = console.studies.create(WANG, text)
    console.studies.approve(WANG, row.id, row.digest)
    before = console.runs.list()[1]
    with pytest.raises(Unusable, match=says) as caught:
        console.runs.compare(WANG, row.id, wish)
    assert caught.value.remedy
    assert console.runs.list()[1] == before


def test_what_a_private_study_declares_public_is_compared(console):
    row = console.studies.create(WANG, PRIVATE)
    console.studies.approve(WANG, row.id, row.digest)
    assert console.runs.compare(WANG, row.id, OPEN).kind == "comparison"


def test_an_answer_is_shown_without_its_place(console):
    run = console.runs.compare(WANG, 1, Comparison()).id
    assert console.comparisons.answer(run) is None
    folder = console.place.run_folder(run)
    folder.mkdir()
    (folder / "comparison.json").write_text(json.dumps({"metric": "auc", "out": "/secret"}))
    assert console.comparisons.answer(run) == {"metric": "auc"}
    assert console.comparisons.file(run, "comparison.json")
    assert console.comparisons.file(run, "plan.json") is None
    (folder / "comparison.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        console.comparisons.answer(run)
