"""The page of a comparison: safe, self-contained, and of one style with the report."""

import json

import pytest
from unit.services.pages import check_page
from unit.services.reports.made_up_run import EVIL, STUDY, new_run

from medfed.core.study_file import parse_study
from medfed.services.comparison.page import figure_rows, write_page
from medfed.services.comparison.statistics import ALL, MEAN


def answer(recipes=("federated", "local"), sites=("north", "south"), metric="auc"):
    """An answer as ``comparison.json`` holds it."""
    places = [*sites, MEAN, ALL]
    first, *others = recipes
    figure = {"metric": metric, "value": 0.9, "low": 0.85, "high": 0.95}
    ahead = {"recipe": first, "metric": metric, "better": None}
    ahead |= {"value": -0.0001, "low": -0.02, "high": 0.01, "shown": False}
    shown = {"value": 0.05, "low": 0.01, "high": 0.09, "shown": True, "better": first}
    return {
        "study": "ab" * 32,
        "title": "Tumours",
        "metric": metric,
        "seeds": [1, 2],
        "test_patients": dict.fromkeys(sites, 40),
        "recipes": {recipe: f"about {recipe}" for recipe in recipes},
        "summary": [{"recipe": r, "site": place} | figure for r in recipes for place in places],
        "differences": [
            ahead | {"against": r, "site": place} | (shown if place == ALL else {})
            for r in others
            for place in places
        ],
        "notes": ["few"],
    }


def written(folder, found, question=""):
    write_page(folder, found, question)
    return check_page((folder / "comparison.html").read_text("utf-8"))


def test_the_page_says_what_the_answer_says(tmp_path):
    page = written(tmp_path, answer(), "Malignant or benign?")
    for said in (
        "federated: mean AUC of 2 hospitals 0.900 [0.850, 0.950], over 2 seeds.",
        "Against local (each hospital alone) 0.900 [0.850, 0.950]: difference 0.000",
        "for north: federated 0.900 against local 0.900, difference 0.000",
        "Malignant or benign?",
        "The same for each hospital",
        "Note: few.",
        "Research use only; not a medical device.",
        "federated 0.900 0.850–0.950",
        "local 0.900 0.850–0.950 0.000 −0.020 to +0.010",
        "+0.050 +0.010 to +0.090",
        "AUC: the chance that",
    ):
        assert said in page.words
    assert page.tags["svg"] == 2
    files = {file.name for file in tmp_path.iterdir()}
    assert {"sites.png", "sites.svg", "differences.png", "differences.svg"} < files


def test_what_others_wrote_cannot_become_markup(tmp_path):
    found = answer(recipes=("federated", EVIL), sites=(EVIL, "_south"))
    page = written(tmp_path, found | {"title": EVIL, "notes": [EVIL, f"`{EVIL}`"]}, EVIL)
    assert not page.tags["img"]
    assert page.words.count("alert(2)") > 5


@pytest.mark.parametrize("missing", [("differences",), ("differences", "summary")])
def test_a_page_without_figures_is_a_page(tmp_path, missing):
    page = written(tmp_path, answer() | {key: [] for key in missing})
    assert page.tags["svg"] == 2 - len(missing)


def test_the_runs_notices_stand_on_the_page(tmp_path):
    study = parse_study(STUDY)
    for name in ("federated-1", "local-1-north"):
        new_run(tmp_path / "runs" / name, study, [], notice="Made-up patients.")
    assert written(tmp_path, answer()).words.count("Made-up patients.") == 1


@pytest.mark.slow
def test_many_recipes_and_hospitals_stay_apart(tmp_path):
    recipes = [f"recipe-{i}" for i in range(11)]
    page = written(tmp_path, answer(recipes, [f"site-{i}" for i in range(9)], "dice"))
    assert "site-8 40 patients" in page.words
    assert "recipe-10" in page.words


def test_rows_for_a_terminal_fit_one_line_each():
    rows = figure_rows(json.loads(json.dumps(answer())))
    assert rows[1] == {
        "place": "north (40)",
        "recipe": "local",
        "figure": "0.900 [0.850, 0.950]",
        "ahead": "0.000 [−0.020, +0.010]",
    }
    assert rows[0]["ahead"] == ""
