"""One patient's risk: the model's own, explained by replacing one answer at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.errors import DataError
from medfed.core.registry import Part, make
from medfed.inference.risk import RiskModel, checked, far, questions_of

FACTS = {
    "moments": {
        "age": {"mean": 60.0, "std": 10.0, "fill": 60.0, "count": 9.0, "missing": 0.0},
        "size": {"mean": 8.0, "std": 4.0, "fill": 8.0, "count": 9.0, "missing": 0.0},
    },
    "vocabulary": {"smoker": {"categories": ["0", "1"], "fill": "0", "missing": 0.0}},
}
OPTIONS = {
    "target": "cancer",
    "positive": "= 1",
    "numeric": ["age", "size"],
    "categorical": ["smoker"],
}


def about(**more):
    task = Part("tabular-classification", {**OPTIONS, **more})
    return {"study": "ab" * 32, "title": "Risk", "task": task.to_json(), "facts": FACTS}


def logistic() -> RiskModel:
    """Log-odds 0.5 z(age) + 1 z(size) - 0.25 [no smoker] + 0.75 [smoker] - 1."""
    weights = np.array([[0.5, 1.0, -0.25, 0.75]], np.float32)
    return RiskModel({"head.weight": weights, "head.bias": np.array([-1.0], np.float32)}, about())


def network() -> RiskModel:
    words = about(hidden=[3], activation="tanh")
    task = make("task", Part("tabular-classification", {**OPTIONS, "hidden": (3,)}))
    return RiskModel(task.initial(1, FACTS), words)


def by_name(risk):
    return {part.name: part for part in risk.contributions}


def test_a_logistic_regression_is_explained_by_its_terms():
    risk = logistic()({"age": 80.0, "size": 4.0, "smoker": "1"})
    log_odds = 0.5 * 2 - 1.0 + 0.75 - 1.0
    assert risk.probability == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=1e-6)
    assert risk.usual == pytest.approx(1 / (1 + np.exp(1.25)), abs=1e-6)
    parts = by_name(risk)
    assert parts["age"].log_odds == pytest.approx(1.0, abs=1e-6)
    assert parts["size"].log_odds == pytest.approx(-1.0, abs=1e-6)
    assert parts["smoker"].log_odds == pytest.approx(1.0, abs=1e-6)
    assert risk.together == pytest.approx(0.0, abs=1e-6)
    assert risk.outcome == "cancer = 1"


numbers = st.none() | st.floats(-500, 500)


@given(age=numbers, size=numbers, smoker=st.sampled_from([None, "0", "1"]))
def test_the_terms_of_a_logistic_regression_add_up_for_every_patient(age, size, smoker):
    risk = logistic()({"age": age, "size": size, "smoker": smoker})
    assert risk.together == pytest.approx(0.0, abs=1e-4)
    for part in risk.contributions:
        assert part.answer is not None or part.log_odds == 0.0


def test_what_a_network_makes_of_answers_together_is_told_apart():
    model = network()
    answers = {"age": 90.0, "size": 25.0, "smoker": "1"}
    risk = model(answers)
    assert abs(risk.together) > 1e-3
    odds = [np.log(p / (1 - p)) for p in (risk.probability, risk.usual)]
    alone = sum(part.log_odds for part in risk.contributions)
    assert odds[0] - odds[1] == pytest.approx(alone + risk.together, abs=1e-5)
    without = model({**answers, "size": FACTS["moments"]["size"]["mean"]})
    change = odds[0] - np.log(without.probability / (1 - without.probability))
    assert by_name(risk)["size"].log_odds == pytest.approx(change, abs=1e-5)


def test_what_is_not_known_counts_as_usual_and_is_called_so():
    risk = logistic()({"size": ""})
    assert risk.probability == risk.usual
    assert all(part.answer is None for part in risk.contributions)


def test_answers_that_are_none_are_refused_in_words():
    asked = {q.name: q for q in questions_of(about())}
    wrong = [("age", each) for each in ("old", "nan", "inf", {}, [1], 10**400)]
    for name, answer in (*wrong, ("smoker", "maybe"), ("smoker", {})):
        with pytest.raises(DataError) as refused:
            checked(asked[name], answer)
        assert name in refused.value.message
    assert checked(asked["age"], " 61.5 ") == 61.5


def test_answers_far_from_what_the_model_has_seen_are_marked():
    asked = {q.name: q for q in questions_of(about())}
    assert far(asked["age"], 101.0)
    assert not far(asked["age"], 99.0)
    assert not far(asked["smoker"], "1")
    ranged = {q.name: q for q in questions_of(about(public_ranges={"age": [40, 70]}))}
    assert (ranged["age"].low, ranged["age"].high) == (40.0, 70.0)
    assert far(ranged["age"], 71.0)


def test_units_go_from_the_study_to_the_question_and_the_answer():
    told = about(units={"age": "years"})
    asked = {q.name: q.unit for q in questions_of(told)}
    assert asked == {"age": "years", "size": "", "smoker": ""}
    weights = {"head.weight": np.ones((1, 4), np.float32), "head.bias": np.zeros(1, np.float32)}
    risk = RiskModel(weights, told)({"age": 80.0})
    assert {p["name"]: p["unit"] for p in risk.to_json()["contributions"]} == asked


def test_models_that_answer_no_form_are_refused():
    with pytest.raises(DataError, match="own patients"):
        questions_of(about(scaling="local"))
    segmentation = {**about(), "task": Part("nodule-segmentation", {}).to_json()}
    with pytest.raises(DataError, match="answers no form"):
        questions_of(segmentation)
    with pytest.raises(DataError, match="do not fit"):
        RiskModel({"head.weight": np.zeros((1, 2), np.float32)}, about())
