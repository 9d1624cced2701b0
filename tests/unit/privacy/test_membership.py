"""Membership inference on plain arrays, held to other people's code and to exact counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from medfed.privacy.evidence.membership import (
    FEWEST,
    assign,
    confidences,
    likelihood_ratios,
    loss_scores,
)
from medfed.privacy.evidence.success import at_rate, auc, share, success

# --- scores ---------------------------------------------------------------------------------------


@given(st.floats(-40, 40))
def test_confidence_is_the_logit_of_the_true_class(logit):
    loss = np.logaddexp(0.0, -logit)  # the cross-entropy of a logit for the true class
    found = confidences(np.array([loss]))[0]
    p = np.exp(-loss)
    if 1e-9 < p < 1 - 1e-9:
        assert found == pytest.approx(np.log(p / (1 - p)), rel=1e-5, abs=1e-6)
    assert found == pytest.approx(logit, rel=1e-3, abs=1e-3)


def test_losses_of_nothing_and_of_everything_are_still_numbers():
    assert confidences(np.array([0.0, 1e-45, 1e6])).tolist() == [50.0, 50.0, -50.0]
    assert loss_scores(np.array([0.5, 2.0])).tolist() == [-0.5, -2.0]


@pytest.mark.parametrize(("share_of", "many"), [(0.5, 8), (0.75, 12), (0.01, FEWEST), (0.99, 14)])
def test_every_patient_is_seen_by_the_same_number_of_shadow_models(share_of, many):
    inside = assign(30, 16, share_of, np.random.default_rng(0))
    assert inside.shape == (16, 30)
    assert set(inside.sum(axis=0)) == {many}
    assert len({tuple(column) for column in inside.T}) > 20


def test_likelihood_ratio_is_that_of_two_normal_distributions():
    rng = np.random.default_rng(1)
    inside = assign(6, 12, 0.5, rng)
    shadow = rng.normal(0, 1, (12, 6)) + 2 * inside + np.arange(6)
    observed = rng.normal(1, 1, 6) + np.arange(6)
    found = likelihood_ratios(observed, shadow, inside)

    def pooled(which):
        groups = [shadow[which[:, i], i] for i in range(6)]
        within = np.concatenate([group - group.mean() for group in groups])
        spread = np.sqrt((within**2).sum() / sum(len(group) - 1 for group in groups))
        return np.array([norm.logpdf(observed[i], groups[i].mean(), spread) for i in range(6)])

    np.testing.assert_allclose(found, pooled(inside) - pooled(~inside), rtol=1e-10)


def test_likelihood_ratio_finds_whom_a_plain_threshold_misses():
    """Hard patients who were seen, easy ones who were not: what LiRA is for."""
    rng = np.random.default_rng(2)
    easy = rng.normal(0, 3, 400)
    inside = assign(400, 20, 0.5, rng)
    shadow = easy + rng.normal(0, 0.5, (20, 400)) + 1.5 * inside
    member = np.arange(400) < 200
    observed = easy + rng.normal(0, 0.5, 400) + 1.5 * member
    ratio = likelihood_ratios(observed, shadow, inside)
    assert success(ratio[member], ratio[~member]).at[0].share.value > 0.5
    assert success(observed[member], observed[~member]).at[0].share.value < 0.15


# --- how good an attack is ------------------------------------------------------------------------

scores = st.lists(st.integers(0, 8).map(float), min_size=2, max_size=30).map(np.array)


@given(scores, scores)
def test_auc_is_that_of_scikit_learn(members, others):
    truth = np.r_[np.ones(len(members)), np.zeros(len(others))]
    found = auc(members, others)
    assert found.value == pytest.approx(roc_auc_score(truth, np.r_[members, others]))
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


def test_auc_interval_is_as_wide_as_the_bootstrap_says():
    rng = np.random.default_rng(3)
    members, others = rng.normal(0.8, 1, 150), rng.normal(0, 1, 90)
    found = auc(members, others)
    drawn = [auc(rng.choice(members, 150), rng.choice(others, 90)).value for _ in range(1000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


@given(scores, scores, st.sampled_from([0.01, 0.1, 0.5]))
def test_no_more_others_are_taken_for_members_than_allowed(members, others, rate):
    found = at_rate(members, others, rate)
    assert found.alarms <= rate * len(others)
    best = max(
        (int((members > t).sum()) for t in others if (others > t).sum() <= rate * len(others)),
        default=0,
    )
    assert found.found == best


def test_what_guessing_reaches_is_counted_exactly():
    """Against 20,000 random orders of 30 members and 25 others."""
    rng = np.random.default_rng(4)
    ranks = rng.random((20_000, 55)).argsort(axis=1).astype(float)
    for rate, allowed in ((0.01, 0), (0.1, 2)):
        threshold = np.sort(ranks[:, 30:], axis=1)[:, ::-1][:, allowed, None]
        found = (ranks[:, :30] > threshold).sum(axis=1)
        for row in range(20):
            one = at_rate(ranks[row, :30], ranks[row, 30:], rate)
            assert one.found == found[row]
            assert one.p == pytest.approx((found >= one.found).mean(), abs=0.015)
        assert one.guessing == pytest.approx(found.mean() / 30, abs=0.003)
        assert 0.975 <= (found / 30 <= one.guessing_high).mean() <= 0.99


def test_guessing_is_called_shown_about_as_often_as_said():
    """Three figures at one in a hundred each: at most three reports of a hundred."""
    rng = np.random.default_rng(5)
    false = sum(success(rng.random(60), rng.random(40)).shown for _ in range(300))
    assert false <= 15


def test_shares_have_exact_intervals():
    for count, of in ((0, 20), (3, 20), (20, 20), (17, 300)):
        found, exact = share(count, of), binomtest(count, of).proportion_ci(0.95, "exact")
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_scores_that_say_nothing_show_nothing():
    found = success(np.ones(30), np.ones(30))
    assert found.auc.value == 0.5
    assert not found.shown
    assert [one.found for one in found.at] == [0, 0]


def test_scores_that_say_everything_are_shown():
    found = success(np.arange(30.0) + 100, np.arange(30.0))
    assert found.auc.value == 1.0
    assert found.shown
    assert found.at[0].share.value == 1.0
    assert found.at[0].share.low > 0.8
