"""Mean, median and trimmed mean over packed and plain updates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from medfed.aggregators.chunks import combine
from medfed.aggregators.mean import Mean, adder
from medfed.aggregators.robust import CoordinateMedian, TrimmedMean, left_out, median
from medfed.core import registry
from medfed.core.errors import Refused, RunError, WireError
from medfed.core.packing import PackedUpdate, pack_half
from medfed.core.registry import Part
from medfed.core.update import Update, add_updates

SIZES = st.integers(1, 40)


def spool(updates):
    return [PackedUpdate(f"site{i}", update) for i, update in enumerate(updates)]


def gather(aggregator, updates):
    return aggregator.gather(lambda phase, each: spool(updates), {})


def updates_of(means, weights):
    """One update a site from its row of means."""
    return [
        Update({"model/x": (np.float64(w) * row).astype(np.float32)}, {"model": w})
        for row, w in zip(means, weights, strict=True)
    ]


@st.composite
def federations(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sites, size = draw(st.integers(1, 9)), draw(SIZES)
    means = rng.standard_normal((sites, size)) * 10.0 ** rng.integers(-3, 4, (sites, size))
    return means.astype(np.float32), rng.integers(1, 500, sites).astype(float)


@given(federations())
def test_the_sum_is_the_exact_sum_rounded(federation):
    updates = updates_of(*federation)
    total = gather(Mean(), updates).total
    columns = np.stack([u.tensors["model/x"] for u in updates]).astype(float).T
    exact = [math.fsum(column) for column in columns]
    scale = np.abs(columns).sum(axis=1)
    assert total.tensors["model/x"].dtype == np.float32
    error = np.abs(total.tensors["model/x"] - exact)
    assert np.all(error <= 2.0**-24 * np.abs(exact) + 1e-15 * scale)
    assert total.weights == {"model": federation[1].sum()}


@given(federations(), st.integers(1, 50), st.sampled_from([adder(), median]))
def test_chunk_size_changes_no_bit(federation, chunk, rule):
    spooled = spool(updates_of(*federation))
    whole = combine(spooled, rule).tensors["model/x"]
    assert combine(spooled, rule, chunk).tensors["model/x"].tobytes() == whole.tobytes()


@given(federations())
def test_the_median_is_numpys_times_the_total_weight(federation):
    means, weights = federation
    total = gather(CoordinateMedian(), updates_of(means, weights)).total
    assert total.weights["model"] == weights.sum()
    # Of two in the middle that almost cancel, the rounding of each is left.
    count = len(weights)
    middle = np.abs(np.sort(means, axis=0)[[(count - 1) // 2, count // 2]]).max(axis=0)
    error = np.abs(total.mean("model")["x"] - np.median(means, axis=0))
    assert np.all(error <= 2.0**-21 * middle)


@given(federations(), st.sampled_from([0.1, 0.2, 0.25, 0.34, 0.49]))
def test_the_trimmed_mean_is_scipys_with_the_count_rounded_up(federation, trim):
    means, weights = federation
    total = gather(TrimmedMean(trim=trim), updates_of(means, weights)).total
    out = left_out(trim, len(weights))
    reference = trim_mean(means.astype(float), (out + 1e-6) / len(weights), axis=0)
    scale = np.abs(means).max()
    np.testing.assert_allclose(total.mean("model")["x"], reference, rtol=1e-5, atol=1e-6 * scale)


def test_trimming_leaves_out_somebody_and_never_everybody():
    assert [left_out(0.1, n) for n in (1, 2, 3, 4, 10, 11, 30)] == [0, 0, 1, 1, 1, 2, 3]
    assert left_out(0.49, 4) == 1
    assert left_out(0.0, 9) == 0


@pytest.mark.parametrize("rule", [CoordinateMedian(), TrimmedMean(trim=0.2)])
def test_one_wrong_site_does_not_pull_the_robust_rules(rule):
    rng = np.random.default_rng(1)
    means = rng.standard_normal((5, 20)).astype(np.float32)
    weights = [100.0, 120.0, 90.0, 110.0, 1e12]  # it claims to have all the patients
    wrong = np.vstack([means[:4], np.full((1, 20), 1e9)]).astype(np.float32)
    result = gather(rule, updates_of(wrong, weights)).total.mean("model")["x"]
    assert np.all(result <= means[:4].max(axis=0) + 1e-5)
    assert np.all(result >= means[:4].min(axis=0) - 1e-5)


@pytest.mark.parametrize("rule", [Mean(), CoordinateMedian(), TrimmedMean()])
def test_a_group_that_only_some_sites_sent(rule):
    ones = np.ones(3, np.float32)
    both = Update({"model/x": 2 * ones, "c/x": 3 * ones}, {"model": 2.0, "c": 1.0})
    one = Update({"model/x": 4 * ones}, {"model": 4.0})
    total = gather(rule, [both, one]).total
    np.testing.assert_allclose(total.mean("model")["x"], ones)
    np.testing.assert_allclose(total.mean("c")["x"], 3 * ones)
    assert total.weights == {"model": 6.0, "c": 1.0}


@pytest.mark.parametrize("rule", [Mean(), CoordinateMedian(), TrimmedMean()])
def test_statistics_are_added_and_participants_named(rule):
    updates = [
        Update({"model/x": np.ones(2, np.float32)}, {"model": 1.0}, {"n": np.array(i)})
        for i in (3, 4)
    ]
    gathered = gather(rule, updates)
    assert gathered.participants == ("site0", "site1")
    assert gathered.total.stats["n"] == 7
    assert gather(rule, []).total == Update()


def test_shapes_and_kinds_of_tensors_survive():
    tensors = {
        "g/scalar": np.array(1.5, np.float32),
        "g/empty": np.zeros((0, 3), np.float32),
        "g/wide": np.array([[1e-17, 1.0]]),
        "g/count": np.array([2**31 - 1], np.int32),
        "g/turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    }
    update = Update(tensors, {"g": 1.0})
    total = gather(Mean(), [update, update]).total.tensors
    assert {k: v.shape for k, v in total.items()} == {k: v.shape for k, v in tensors.items()}
    assert total["g/wide"].dtype == np.float64
    assert total["g/count"].tolist() == [2**32 - 2]
    np.testing.assert_array_equal(total["g/turned"], 2 * tensors["g/turned"])
    reference = add_updates([update, update]).tensors
    np.testing.assert_array_equal(total["g/wide"], reference["g/wide"])


def test_sites_may_pack_differently():
    x = np.linspace(-1, 1, 50, dtype=np.float32)
    plain = Update({"model/x": x}, {"model": 1.0})
    half = Update(pack_half("model/x", x), {"model": 1.0})
    total = gather(Mean(), [plain, half]).total
    np.testing.assert_allclose(total.tensors["model/x"], 2 * x, rtol=2**-11)


def test_different_shapes_and_totals_too_large_are_told():
    one = Update({"model/x": np.ones(2, np.float32)}, {"model": 1.0})
    two = Update({"model/x": np.ones(3, np.float32)}, {"model": 1.0})
    with pytest.raises(WireError, match="different shapes"):
        gather(Mean(), [one, two])
    huge = Update({"model/x": np.full(2, 3e38, np.float32)}, {"model": 1.0})
    with pytest.raises(RunError, match="too large"):
        gather(Mean(), [huge, huge])


@pytest.mark.parametrize("name", ["mean", "median", "trimmed-mean"])
def test_the_sites_half(name):
    aggregator = registry.make("aggregator", Part(name))
    update, mine = Update(), {"a": np.ones(1)}
    assert aggregator.answer("update", Update(), lambda: update, mine) == (update, mine)
    assert aggregator.sees_sites
    assert aggregator.linear == (name == "mean")
    with pytest.raises(Refused):
        aggregator.answer("masks", Update(), lambda: update, mine)
