"""Membership inference on real runs: what was learned by heart is found, strangers are not."""

import numpy as np
import pytest
from unit.services.evidence.small_runs import run_here, write_tables

from medfed.services.evidence.membership import lira, loss_threshold
from medfed.services.evidence.opening import open_finished
from medfed.services.evidence.rehearsal import alone
from medfed.services.evidence.tables import Table

SHADOWS = 16


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory):
    place = tmp_path_factory.mktemp("by-heart")
    return run_here(place / "run", write_tables(place / "data"))


def attacks(run, shadows=SHADOWS):
    job = run.job()
    table = Table.of(job)
    ticks = []
    found = lira(run, table, shadows, lambda *at: ticks.append(at))
    assert ticks == [(number, shadows) for number in range(shadows + 1)]
    return loss_threshold(run, job, table), found


def test_a_model_that_knows_its_patients_by_heart_is_flagged_by_both_attacks(by_heart):
    threshold, ratio = attacks(open_finished(by_heart))
    for attack in (threshold, ratio):
        assert attack["shown"]
        assert attack["auc"]["low"] > 0.8
        assert attack["at"][1]["share"]["low"] > 0.5
        assert attack["at"][0]["share"]["low"] > 0.01
        assert attack["members"] + attack["others"] == 100
    strict = ratio["at"][0]
    assert strict["shown"]
    assert strict["share"]["low"] > 0.1  # clearly above 1 %
    assert strict["share"]["value"] > strict["guessing"]["high"]
    assert strict["share"]["value"] > threshold["at"][0]["share"]["value"]


def test_a_model_that_never_saw_the_patients_is_not_flagged(by_heart, tmp_path):
    """Other people of the same names: the split is the same, and nobody was trained on."""
    run = open_finished(by_heart, root=write_tables(tmp_path / "others", seed=1))
    for attack in attacks(run):
        assert not attack["shown"]
        assert attack["auc"]["low"] < 0.5 < attack["auc"]["high"]
        for one in attack["at"]:
            assert one["share"]["value"] <= one["guessing"]["high"]


def test_the_report_is_the_same_twice(by_heart):
    first, second = (attacks(open_finished(by_heart), 8) for _ in range(2))
    assert first == second


def test_a_shadow_model_of_the_same_patients_is_the_model_of_the_run(by_heart):
    """One site, the run's own patients and seed: the rehearsal is the run, bit by bit."""
    run = open_finished(by_heart)
    table = Table.of(run.job())
    job = table.learning_from(np.arange(table.trained))
    again = alone(run.study, run.task.initial(run.study.seed, run.facts), job, run.rounds)
    for name, value in run.model.items():
        np.testing.assert_array_equal(again[name], value)


def test_losses_of_patients_add_up_to_the_figure_of_the_run(by_heart):
    run = open_finished(by_heart)
    table = Table.of(run.job())
    held_out = table.losses(run.model)[table.trained :]
    told = run.result["metrics"]["overall"]["loss"]["value"]
    assert held_out.mean() == pytest.approx(told, rel=1e-5)
