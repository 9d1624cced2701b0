import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from medfed.core.update import add_stats
from medfed.tasks.calibration import BINS, FEWEST, counted, curve


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def made(slope=0.7, offset=-1.0, count=4000, seed=0):
    rng = np.random.default_rng(seed)
    odds = rng.normal(2, 2, count)
    hits = rng.random(count) < sigmoid(slope * odds + offset)
    return sigmoid(odds), hits


def total_of(scores, hits, patients=20):
    return {**counted(scores, hits), "patients": np.array(float(patients))}


def test_the_curve_is_that_of_the_truth():
    found = curve(total_of(*made()))
    assert (found["slope"], found["offset"]) == pytest.approx((0.7, -1.0), abs=0.1)
    assert np.interp(sigmoid(2.0), found["scores"], found["observed"]) == pytest.approx(
        sigmoid(0.4), abs=0.03
    )


def test_it_is_logistic_regression_up_to_the_bins():
    scores, hits = made(count=3000)
    odds = np.log(scores / (1 - scores))[:, None]
    model = LogisticRegression(C=1e6).fit(odds, hits)
    found = curve(total_of(scores, hits))
    assert found["slope"] == pytest.approx(model.coef_[0, 0], rel=0.02)
    assert found["offset"] == pytest.approx(model.intercept_[0], abs=0.03)


def test_counts_of_sites_add_up():
    scores, hits = made(count=500)
    parts = [total_of(scores[i::3], hits[i::3], 5) for i in range(3)]
    assert curve(add_stats(parts)) == curve(total_of(scores, hits, 15))


@given(st.integers(0, 1000), st.floats(0.05, 3), st.floats(-3, 3))
def test_probabilities_never_fall_and_the_table_covers_all_scores(seed, slope, offset):
    found = curve(total_of(*made(slope, offset, 200, seed)))
    if "reason" in found:
        return
    scores, observed = np.array(found["scores"]), np.array(found["observed"])
    assert (scores[0], scores[-1]) == (0, 1)
    assert (np.diff(scores) > 0).all()
    assert (np.diff(observed) >= 0).all()
    assert 0 <= observed[0] <= observed[-1] <= 1
    assert sum(group["candidates"] for group in found["groups"]) == 200


def test_a_perfect_model_does_not_become_certain():
    scores, hits = [0.9] * FEWEST + [0.2] * FEWEST, [True] * FEWEST + [False] * FEWEST
    found = curve(total_of(scores, hits))
    assert 0 < np.interp(0.2, found["scores"], found["observed"]) < 0.2
    assert 0.8 < np.interp(0.9, found["scores"], found["observed"]) < 1


def test_too_few_or_senseless_scores_give_no_curve_and_say_why():
    few = curve(total_of([0.9] * 30, [True] * 30))
    assert "takes" in few["reason"]
    assert "scores" not in few
    wrong = curve(total_of([0.9] * 20 + [0.1] * 20, [False] * 20 + [True] * 20))
    assert "not more often right" in wrong["reason"]


def test_what_is_no_count_is_refused():
    good = total_of(*made(count=100))
    for bad in (np.ones(3), np.full(BINS, -1.0), np.full(BINS, np.nan)):
        with pytest.raises(ValueError, match="no counts"):
            curve({**good, "hits": bad})


def test_certain_scores_are_counted_too():
    stats = counted([0.0, 1.0, 1 - 1e-12], [False, True, True])
    assert stats["hits"][-1] == stats["hits"].sum() == 2
    assert stats["misses"][0] == stats["misses"].sum() == 1
    assert counted([], [])["hits"].sum() == 0
