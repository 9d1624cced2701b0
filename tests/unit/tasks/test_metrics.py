"""Figures from histograms against scikit-learn on the scores themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    recall_score,
    roc_auc_score,
)

from medfed.core.task import Interval
from medfed.core.update import add_stats
from medfed.tasks.metrics import (
    HIGHER_IS_BETTER,
    SPAN,
    auc_error,
    classification_metrics,
    coarse_counts,
    from_coarse,
    score_stats,
    wilson,
)


def scores(patients=400, seed=0, shift=1.2):
    rng = np.random.default_rng(seed)
    labels = (rng.random(patients) < 0.4).astype(float)
    return rng.normal(size=patients) * 1.5 + shift * labels - 0.5, labels


def test_agrees_with_scikit_learn_on_unbinned_scores():
    logits, labels = scores()
    chance = 1 / (1 + np.exp(-logits))
    total = score_stats(logits, labels)
    found = {name: value.value for name, value in classification_metrics(total).items()}
    assert found.keys() == HIGHER_IS_BETTER.keys()
    called = logits >= 0
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, called), abs=1e-12)
    assert found["sensitivity"] == pytest.approx(recall_score(labels, called), abs=1e-12)
    assert found["specificity"] == pytest.approx(recall_score(1 - labels, ~called), abs=1e-12)
    assert found["loss"] == pytest.approx(log_loss(labels, chance), abs=1e-12)
    assert found["brier"] == pytest.approx(brier_score_loss(labels, chance), abs=1e-12)
    # Pairs in one bin of width 1/32 count half; here at most .5 % of the pairs are such.
    assert found["auc"] == pytest.approx(roc_auc_score(labels, logits), abs=2e-3)


cells = st.tuples(st.floats(-20, 20), st.integers(0, 1))


@given(st.lists(cells, min_size=2, max_size=60))
def test_the_auc_lies_within_its_stated_error(patients):
    logits, labels = np.array([z for z, _ in patients]), np.array([y for _, y in patients])
    total = score_stats(logits, labels)
    found = classification_metrics(total)
    if len(set(labels)) < 2:
        assert "auc" not in found
        return
    error = abs(found["auc"].value - roc_auc_score(labels, logits))
    assert error <= auc_error(total) + 1e-12


def test_ties_count_half_and_on_the_grid_the_auc_is_exact():
    rng = np.random.default_rng(1)
    logits, labels = rng.integers(-3, 4, 200) / 4.0, rng.integers(0, 2, 200)
    found = classification_metrics(score_stats(logits, labels))
    assert found["auc"].value == pytest.approx(roc_auc_score(labels, logits), abs=1e-12)


@given(st.lists(cells, min_size=1, max_size=30), st.integers(0, 29))
def test_sites_add_up_to_the_pooled_figures(patients, cut):
    logits, labels = np.array([z for z, _ in patients]), np.array([y for _, y in patients])
    parts = [score_stats(logits[:cut], labels[:cut]), score_stats(logits[cut:], labels[cut:])]
    apart = classification_metrics(add_stats(parts), intervals=False)
    pooled = classification_metrics(score_stats(logits, labels))
    assert apart.keys() == pooled.keys()
    for name, figure in pooled.items():
        assert apart[name].value == pytest.approx(figure.value, rel=1e-9)


def test_half_is_the_threshold_exactly():
    total = score_stats(np.array([0.0, -1e-12]), np.array([1.0, 0.0]))
    assert classification_metrics(total)["accuracy"].value == 1.0


def test_scores_beyond_the_grid_are_kept():
    total = score_stats(np.array([9 * SPAN, -9 * SPAN]), np.array([1.0, 0.0]))
    assert total["scores"].sum() == 2
    assert classification_metrics(total)["auc"].value == 1.0


@pytest.mark.parametrize(
    ("labels", "absent"),
    [([1, 1, 1], {"auc", "specificity"}), ([0, 0, 0], {"auc", "sensitivity"})],
)
def test_undefined_figures_are_left_out(labels, absent):
    total = score_stats(np.array([-1.0, 0.5, 2.0]), np.array(labels))
    found = classification_metrics(total, intervals=True)
    assert found.keys() == HIGHER_IS_BETTER.keys() - absent
    assert all(np.isfinite([f.value, f.low, f.high]).all() for f in found.values())


def test_where_all_were_right_a_share_has_an_interval_and_the_area_has_none():
    total = score_stats([-2.0, -1.0, 1.0, 2.0, 3.0], [0, 0, 1, 1, 1])
    found = classification_metrics(total, intervals=True)
    assert found["auc"] == Interval(1.0)
    # Newcombe (Statistics in Medicine 17, 1998): all of n right, from n / (n + z²).
    for name, n in (("accuracy", 5), ("sensitivity", 3), ("specificity", 2)):
        assert found[name].value == found[name].high == 1.0
        assert found[name].low == pytest.approx(n / (n + 1.959964**2), abs=1e-5)


@given(st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_a_share_has_the_interval_that_scipy_gives(case):
    bounds = binomtest(*case).proportion_ci(0.95, method="wilson")
    found = wilson(*case)
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high), abs=1e-12)


def test_a_share_has_the_interval_of_the_literature():
    # Newcombe 1998, table I: 81 of 263 by the score method.
    found = wilson(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


def test_nobody_has_no_figures():
    assert classification_metrics({}) == {}
    assert classification_metrics(score_stats(np.zeros(0), np.zeros(0))) == {}


def test_intervals_are_those_of_a_bootstrap_of_the_patients():
    logits, labels = scores(300, seed=4)
    found = classification_metrics(score_stats(logits, labels), intervals=True)
    rng = np.random.default_rng(9)
    draws = {"auc": [], "accuracy": [], "loss": [], "brier": []}
    for _ in range(700):
        rows = rng.integers(0, len(labels), len(labels))
        z, y = logits[rows], labels[rows]
        draws["auc"].append(roc_auc_score(y, z))
        draws["accuracy"].append(np.mean((z >= 0) == y))
        draws["loss"].append(np.mean(np.logaddexp(0, z) - y * z))
        draws["brier"].append(np.mean((1 / (1 + np.exp(-z)) - y) ** 2))
    for name, direct in draws.items():
        low, high = np.quantile(direct, (0.025, 0.975))
        # A bound from 1,000 draws is itself known to about a tenth of the half width.
        tolerance = 0.15 * (high - low)
        assert found[name].low == pytest.approx(low, abs=tolerance)
        assert found[name].high == pytest.approx(high, abs=tolerance)


def test_the_same_counts_have_the_same_interval():
    total = score_stats(*scores(50))
    assert classification_metrics(total, intervals=True) == classification_metrics(
        total, intervals=True
    )


def test_coarse_counts_keep_patients_labels_and_what_lies_on_each_side_of_a_half():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    logits = rng.normal(3.0 * (labels - 0.5), 2.0)
    fine = score_stats(logits, labels)
    counts = coarse_counts(fine)
    assert counts.shape == (2, 8)
    assert counts.sum() == 400
    coarse, exact = (classification_metrics(s) for s in (from_coarse(counts), fine))
    for name in ("accuracy", "sensitivity", "specificity"):
        assert coarse[name].value == exact[name].value
    assert abs(coarse["auc"].value - exact["auc"].value) < 0.02
    assert abs(coarse["brier"].value - exact["brier"].value) < 0.02


def test_one_patient_is_in_one_coarse_cell():
    for logit in (-20.0, -3.0, -0.5, 0.0, 0.5, 5.0):
        assert sorted(coarse_counts(score_stats([logit], [1])).ravel()) == [0.0] * 15 + [1.0]
    assert not coarse_counts({}).any()


def test_noised_counts_have_no_intervals():
    stats = from_coarse(np.array([[30.0, 5, 5, 3, 2, 1, 0, -2.3], [0, 1, 1, 2, 3, 5, 9, 31.5]]))
    found = classification_metrics(stats, intervals=True)
    assert 0.5 < found["auc"].value <= 1.0, "noise takes no figure beyond what there is"
    assert all(figure.low is None for figure in found.values())
