"""The tabular task: encoding, labels, training over sites, importance, complaints."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from unit.tasks.helpers import facts_of, site_of

from medfed.core.errors import DataError, PartError, Refused, RunError
from medfed.core.options import describe
from medfed.core.registry import Part, make
from medfed.core.task import LocalPlan
from medfed.core.update import add_stats
from medfed.tasks.tabular import TabularClassification


def frame_of(rows=60, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    age, sex = rng.normal(60 + shift, 10, rows), rng.choice(["F", "M"], rows)
    noise = rng.normal(size=rows)
    ill = ((age - 60) / 10 + 2.0 * (sex == "M") + 0.5 * rng.normal(size=rows) > 1).astype(int)
    return pd.DataFrame({"age": age, "noise": noise, "sex": sex, "ill": ill})


def task_of(**options):
    given = {"target": "ill", "numeric": ("age", "noise"), "categorical": ("sex",), **options}
    return make("task", Part("tabular-classification", given))


def open_job(task, site, sites=None, seed=0):
    facts = facts_of(task, sites or [site])
    return task.job(site, facts, seed, task.execution()), facts


def test_federated_training_approaches_the_pooled_model():
    sites = [site_of(frame_of(80, s, 4.0 * s), f"s{s}", test=20) for s in range(3)]
    task = task_of()
    facts = facts_of(task, sites)
    jobs = [task.job(site, facts, 0, task.execution()) for site in sites]
    model = task.initial(0, facts)
    for turn in range(15):
        plan = LocalPlan(epochs=2, lr=0.3, labels=("train", turn))
        trained = [(job.patients, job.train(model, plan).tensors) for job in jobs]
        whole = sum(n for n, _ in trained)
        model = {k: sum(n * t[k] for n, t in trained) / whole for k in model}
    total = add_stats(job.evaluate(model, "test") for job in jobs)
    assert task.summarise(total)["auc"].value > 0.9
    worth = task.importance(add_stats(job.explain(model) for job in jobs))
    assert list(worth)[-1] == "noise"
    assert worth["age"].low > worth["noise"].value
    assert worth["noise"].low < 0 < worth["noise"].high or abs(worth["noise"].value) < 0.02


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("hidden", [(), (4, 3)])
def test_the_names_of_its_tensors_are_known_without_building_it(hidden, norm):
    task = task_of(hidden=hidden, norm=norm)
    assert set(task.tensor_names()) == set(task.initial(0, facts_of(task, [site_of(frame_of())])))


def test_importance_is_the_fall_of_the_auc():
    site = site_of(frame_of(400), test=200)
    task = task_of()
    job, facts = open_job(task, site)
    model = job.train(task.initial(0, facts), LocalPlan(epochs=30, lr=0.3)).tensors
    worth = task.importance(job.explain(model))["sex"]
    examples = job.sets["test"]
    weight, bias = model["head.weight"][0], model["head.bias"]
    x, y = examples.features.numpy(), examples.labels.numpy()
    rng = np.random.default_rng(0)
    falls = []
    for _ in range(50):
        mixed = x.copy()
        mixed[:, 2:] = x[rng.permutation(len(x))][:, 2:]  # both inputs made of sex
        falls.append(roc_auc_score(y, x @ weight + bias) - roc_auc_score(y, mixed @ weight + bias))
    assert worth.value == pytest.approx(np.mean(falls), abs=0.03)
    assert worth.low < np.mean(falls) < worth.high
    same = task.importance(job.explain(model))["sex"]
    assert same == worth


def test_inputs_are_scaled_filled_and_one_hot_by_the_facts():
    frame = {
        "age": [40.0, 60.0, np.nan],
        "noise": [5.0, 5.0, 5.0],
        "sex": ["M", None, "M"],
        "ill": [0, 1, 1],
    }
    other = site_of({"age": [50.0], "noise": [5.0], "sex": ["F"], "ill": [0]}, "south")
    task, site = task_of(indicate_missing=True), site_of(frame)
    job, facts = open_job(task, site, [site, other])
    encoder = task.encoder(facts)
    assert encoder.inputs == (
        "age",
        "noise",
        "sex = F",
        "sex = M",
        "age is missing",
        "sex is missing",
    )
    assert encoder.groups == {"age": [0, 4], "noise": [1], "sex": [2, 3, 5]}
    step = np.sqrt(1.5)
    expected = [[-step, 0, 0, 1, 0, 0], [step, 0, 0, 1, 0, 1], [0, 0, 0, 1, 1, 0]]
    np.testing.assert_allclose(job.sets["train"].features.numpy(), expected, atol=1e-6)


def test_unknown_values_are_zeros_and_the_first_category_can_be_left_out():
    task = task_of(numeric=(), drop_first=True)
    site = site_of({"sex": ["a", "b", "c", "z"], "ill": [0, 1, 0, 1]}, test=1)
    job, facts = open_job(task, site)
    assert task.encoder(facts).inputs == ("sex = b", "sex = c")
    np.testing.assert_array_equal(job.sets["train"].features.numpy(), [[0, 0], [1, 0], [0, 1]])
    np.testing.assert_array_equal(job.sets["test"].features.numpy(), [[0, 0]])


def test_one_odd_patient_leaves_the_encoded_rows_of_all_others_alone():
    task = task_of(
        numeric=(), positive="= True", public_values={"sex": ["True", "False"]}, one_class="train"
    )
    truth = {"sex": [1.0, 0.0, 1.0], "ill": [0.0, 1.0, 1.0]}
    text = {"sex": ["True", "False", "1.0", "odd"], "ill": ["0", "True", "1.0", "odd"]}
    (plain, _), (mixed, _) = (open_job(task, site_of(frame)) for frame in (truth, text))
    own, others = plain.sets["train"], mixed.sets["train"]
    np.testing.assert_array_equal(own.features.numpy(), [[1, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(others.features.numpy()[:3], own.features.numpy())
    np.testing.assert_array_equal(own.labels.numpy(), [0, 1, 1])
    np.testing.assert_array_equal(others.labels.numpy()[:3], own.labels.numpy())


@pytest.mark.parametrize("scaling", ["local", "none"])
def test_other_scalings(scaling):
    task = task_of(categorical=(), scaling=scaling)
    sites = [site_of(frame_of(30, s, 30.0 * s), f"s{s}") for s in range(2)]
    facts = facts_of(task, sites)
    assert ("moments" in facts) == (scaling == "none")
    ages = task.job(sites[1], facts, 0, task.execution()).sets["train"].features[:, 0]
    if scaling == "local":
        assert float(ages.mean()) == pytest.approx(0, abs=1e-6)
        assert float(ages.std(correction=0)) == pytest.approx(1, abs=1e-6)
    else:
        np.testing.assert_allclose(ages, sites[1].load("train")["age"], rtol=1e-6)


@pytest.mark.parametrize(
    ("positive", "outcomes", "expected"),
    [
        ("", [0, 1, 1], [0, 1, 1]),
        ("", [False, True, False], [0, 1, 0]),
        ("> 0", [0, 3, 1], [0, 1, 1]),
        (">= 3", [0, 3, 1], [0, 1, 0]),
        ("< 1.5", [0, 3, 1], [1, 0, 1]),
        ("= malignant", ["benign", "malignant", "benign"], [0, 1, 0]),
        ('!= "very benign"', ["very benign", "malignant", "x"], [0, 1, 1]),
        ("= 2", [2.0, 1.0, 2.0], [1, 0, 1]),
    ],
)
def test_label_rules(positive, outcomes, expected):
    task = task_of(positive=positive)
    found = task.labels(pd.DataFrame({"ill": outcomes}), "north")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"numeric": (), "categorical": ()}, "task.numeric"),
        ({"numeric": ("age", "ill")}, "task.target"),
        ({"numeric": ("age", "age")}, "task.numeric"),
        ({"hidden": (4, 0)}, "task.hidden"),
        ({"positive": "__import__('os')"}, "task.positive"),
        ({"positive": "> high"}, "task.positive"),
        ({"positive": "is missing"}, "task.positive"),
        ({"positive": "x > 3"}, "task.positive"),
        ({"units": {"sex": "years"}}, "task.units"),
        ({"units": {"age": 3}}, "task.units"),
        ({"units": {"age": " "}}, "task.units"),
        ({"units": {"age": "y" * 31}}, "task.units"),
        ({"units": {"age": "years\nor months"}}, "task.units"),
    ],
)
def test_options_that_cannot_be_used(options, field):
    with pytest.raises(PartError) as caught:
        task_of(**options)
    assert [problem.field for problem in caught.value.problems] == [field]


def broken(**columns):
    return frame_of(12).assign(**columns)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (frame_of(12).drop(columns=["noise", "ill"]), "has no column noise, ill"),
        (broken(age="secret"), '"age" holds something that is no number'),
        (broken(age=-np.inf), '"age" holds an infinite value'),
        (broken(ill=[None] + [0, 1] * 5 + [1]), 'patients lack the outcome "ill"'),
        (broken(ill=[0, 1, 2] * 4), 'the outcome "ill" has values other than 0 and 1'),
    ],
)
def test_bad_tables_are_complained_of_by_column(frame, message):
    _, facts = open_job(task_of(), site_of(frame_of()))
    task = task_of()
    with pytest.raises(DataError, match=message) as caught:
        task.job(site_of(frame), facts, 0, task.execution())
    assert "secret" not in str(caught.value)


def test_a_column_that_a_site_lacks_is_filled_unless_scaling_is_local():
    site, other = site_of(broken(age=np.nan)), site_of(frame_of(), "south")
    job, _ = open_job(task_of(), site, [site, other])
    assert torch.equal(job.sets["train"].features[:, 0], torch.zeros(12))
    with pytest.raises(DataError, match="has no value of age"):
        open_job(task_of(scaling="local"), site, [site, other])


def test_several_rows_of_a_patient_are_complained_of():
    site = site_of(frame_of(12))
    site.source.frame.index = ["same"] * 2 + [f"p{i}" for i in range(10)]
    site = type(site)("north", site.source, {"train": tuple(site.source.patients())})
    with pytest.raises(DataError, match="not exactly one row per patient"):
        open_job(task_of(), site)


def test_a_site_with_one_class_refuses_unless_told_otherwise():
    site = site_of(broken(ill=1), test=4)
    with pytest.raises(Refused) as caught:
        open_job(task_of(), site)
    assert caught.value.name == "one-class"
    task = task_of(one_class="train")
    job, facts = open_job(task, site)
    trained = job.train(task.initial(0, facts), LocalPlan()).tensors
    found = task.summarise(job.evaluate(trained, "test"), intervals=True)
    assert "auc" not in found
    assert found["sensitivity"].value == 1.0
    assert task.importance(job.explain(trained)) == {}


def test_nobody_to_train_on_is_refused():
    _, facts = open_job(task_of(), site_of(frame_of()))
    with pytest.raises(Refused) as caught:
        task_of().job(site_of(frame_of(3), test=3), facts, 0, task_of().execution())
    assert caught.value.name == "no-data"


def test_facts_that_were_not_fitted_are_missed():
    with pytest.raises(RunError, match="moments was not fitted"):
        task_of().initial(0, {})


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_networks_train_and_describe_themselves(norm):
    task = task_of(hidden=(8, 4), dropout=0.2, norm=norm, activation="gelu")
    site = site_of(frame_of(33))
    job, facts = open_job(task, site)
    start = task.initial(5, facts)
    assert job.train(start, LocalPlan(epochs=2, batch_size=8)).tensors.keys() == start.keys()
    card = task.describe(facts)
    assert card["model"] == "neural network, 4 → 8 → 4 → 1"
    sizes = sum(start[name].size for name in job.trainable())
    assert card["parameters"] == sizes
    assert task_of().describe(facts)["model"].startswith("logistic regression")


def test_every_option_says_what_it_is():
    assert all(option.help for option in describe(TabularClassification))


def test_reading_a_study_imports_no_heavy_library():
    code = """
import sys
import medfed.tasks.tabular, medfed.tasks.facts
found = {"torch", "pandas", "sklearn"} & sys.modules.keys()
assert not found, found
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
