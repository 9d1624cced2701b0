"""What a page says would leave is what docs/explanation/what-leaves.md says, for each study."""

from __future__ import annotations

from pathlib import Path

import pytest
from accounting import EXAMPLES
from flask import Flask
from flask_babel import Babel
from working_sites import a_study

from medfed.core.registry import Part
from medfed.core.study_file import read_study
from medfed.web import participation_words

TABLE = Path(__file__).parents[3] / "docs" / "explanation" / "what-leaves.md"
SAID = {
    "counts, sums and squares of each": "counts, sums and squares of each numeric column",
    "the change of the model, times": "weighted by the number of training patients",
    "sum of the training loss": "sum of the training loss, and the number of examples and steps",
    "figures of the model received": "score the model which it received, over validation patients",
    "the same for the chosen model": "chosen model over test patients and, where the data are "
    "columns, histograms of how much each column counts",
    "how many seconds the site worked": "how many seconds this hospital’s computer worked",
    "a refusal's name": "the name of a refusal, and one public sentence",
}
"""What the table says, by how it begins, and what the page does."""


@pytest.fixture(autouse=True)
def english():
    app = Flask(__name__)
    Babel(app)
    with app.test_request_context():
        yield


def left(study) -> str:
    return "\n".join(participation_words.leaves(study))


def test_every_row_of_the_table_is_said_of_a_plain_study():
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if line.startswith("| ")]
    rows = [line.split("|")[2].strip() for line in lines[1:]]
    assert len(rows) == len(SAID)
    for row in rows:
        (words,) = [words for begin, words in SAID.items() if row.startswith(begin)]
        assert words in left(a_study())


def private(name: str, **options) -> str:
    return left(a_study(privacy=(Part(name, options),)))


def test_what_a_study_under_dp_sgd_keeps_is_not_said_to_leave():
    example = read_study(EXAMPLES / "breast_cancer_dp.toml")
    (line,) = example.privacy
    found = {
        scores: left(example.evolve(privacy=(Part(line.name, {**line.options, "scores": scores}),)))
        for scores in ("none", "noised", "public")
    }
    for said in found.values():
        assert "weighted by the public number of patients" in said
        assert "how many seconds" in said
        for words in ("sum of the training loss", "number of training patients.", "and squares"):
            assert words not in said
    assert "No figures of validation or test patients" in found["none"]
    assert "as counts with noise" in found["noised"]
    for scores, said in found.items():
        assert ("score the model which it received" in said) == (scores == "public")
        assert ("how much each column counts" in said) == (scores == "public")


def test_each_way_of_privacy_is_told_from_the_others():
    hospital = private("hospital-dp", epsilon=8.0)
    assert "all hospitals count alike" in hospital
    assert "weighted by" not in hospital
    assert "No figures of validation or test patients" in hospital
    local = private("local-dp", epsilon=1.0, scores="public")
    assert "sees noised records only" in local
    assert "score the model which it received" in local


def test_scaffold_sends_its_control_variates_too():
    assert "control variates" not in left(a_study())
    assert "control variates" in left(a_study(strategy=Part("scaffold")))
    assert "control variates" in left(read_study(EXAMPLES / "nodules_scaffold.toml"))
