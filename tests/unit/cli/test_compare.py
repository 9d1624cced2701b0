"""``medfed compare``: the contract of its last line, and what it says when it cannot."""

import json

import pytest

from medfed.cli import main
from medfed.core.errors import RunError

TEXT = """
title = "Two hospitals"
sites = ["north", "south"]
rounds = 1
[source]
name = "breast-cancer"
[task]
name = "tabular-classification"
target = "diagnosis"
positive = "= malignant"
numeric = ["mean texture"]
[strategy]
name = "fedavg"
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(TEXT)
    return path


def run(*arguments):
    """The exit code."""
    try:
        main(["compare", *map(str, arguments)])
    except SystemExit as end:
        return end.code
    return 0


@pytest.mark.parametrize(
    ("given", "recipes", "strategies"),
    [
        ((), ("federated", "pooled"), ("fedprox",)),
        (("--recipes", "federated,local"), ("federated", "local"), ()),
        (("--strategies", "scaffold"), ("federated", "pooled"), ("scaffold",)),
    ],
)
def test_the_study_says_what_to_compare(given, recipes, strategies, study, monkeypatch):
    table = '[compare]\nrecipes = ["federated", "pooled"]\nstrategies = ["fedprox"]\n'
    study.write_text(TEXT + table)
    asked = []

    def start(_, options, __):
        asked.append(options)
        raise RunError("enough", remedy="None")

    monkeypatch.setattr("medfed.services.comparison.compare", start)
    run(study, *given)
    assert [(o.recipes, o.strategies) for o in asked] == [(recipes, strategies)]


@pytest.mark.slow
def test_json_is_the_last_line_and_progress_is_elsewhere(study, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = (study, "--recipes", "federated,local", "--seeds", 2, "--out", out)
    assert run(*arguments, "--json") == 0
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    found = json.loads(line)
    assert found["schema"] == 1
    assert found["out"] == str(out)
    assert found["seeds"] == [0, 1]
    assert len(found["rows"]) == 2 * 2 * 2 * 6
    assert {"study", "rows", "summary", "differences", "statement"} <= set(found)
    assert "run 1/6: federated-0" in printed.err

    assert run(*arguments) == 0  # everything is there: it only shows
    shown = capsys.readouterr().out
    assert "less it" in shown
    assert "[" in shown
    assert found["statement"].splitlines()[0] in shown


def test_one_seed_is_said_plainly(study, tmp_path, capsys):
    out = tmp_path / "out"
    strategies = ("--strategies", "fedprox")
    assert run(study, "--recipes", "federated", *strategies, "--seed", 4, "--out", out) == 0
    shown = capsys.readouterr().out
    assert "One seed only" in shown
    assert "fedprox" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--seeds", 0), 2, "1 seed or more"),
        (("--seeds", 2, "--seed", 3), 2, "either --seeds or --seed"),
        (("--recipes", "alone"), 2, 'no recipe called "alone"'),
        (("--strategies", "fedpox"), 2, "fedpox"),
        (("--metric", "dice"), 2, "does not report"),
        (("--workers", -1), 2, "--workers"),
    ],
)
def test_bad_input_is_a_sentence_and_an_exit_code(study, tmp_path, capsys, arguments, code, says):
    assert run(study, "--out", tmp_path / "out", *arguments) == code
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_data_are_named_before_anything_is_made(tmp_path, capsys):
    path = tmp_path / "study.toml"
    text = TEXT.replace("breast-cancer", "heart-disease").replace("north", "va")
    path.write_text(text.replace("south", "cleveland"))
    assert run(path, "--out", tmp_path / "out", "--json") == 3
    printed = capsys.readouterr()
    assert "medfed data fetch" in printed.err
    assert json.loads(printed.out.splitlines()[-1])["error"]["exit_code"] == 3
    assert not (tmp_path / "out").exists()
