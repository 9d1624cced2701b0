"""What is left out of a round, and named, before anything is combined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.errors import WireError
from medfed.core.packing import PackedUpdate, pack_half
from medfed.core.update import Update
from medfed.federation.gates import change_norm, too_large, unlike_others
from medfed.federation.spool import check_update


def sites(updates):
    return {f"s{i}": PackedUpdate(f"s{i}", update) for i, update in enumerate(updates)}


def changed_by(length, weight=1.0, size=4):
    direction = np.full(size, 1 / np.sqrt(size))
    return Update({"model/x": weight * length * direction}, {"model": weight})


@given(st.floats(1e-6, 1e6), st.floats(1e-3, 1e9), st.integers(1, 40_000))
def test_the_norm_of_a_change_does_not_depend_on_its_weight(length, weight, size):
    update = PackedUpdate("s", changed_by(length, weight, size))
    assert change_norm(update) == pytest.approx(length, rel=1e-9)


def test_buffers_do_not_count_and_packed_tensors_do():
    x = np.ones(100, np.float32)
    tensors = {**pack_half("model/x", x), "buffers/n": np.full(3, 1e9), "control/x": 2 * x}
    update = Update(tensors, {"model": 1.0, "buffers": 1.0, "control": 2.0})
    assert change_norm(PackedUpdate("s", update)) == pytest.approx(np.sqrt(200.0))


def test_who_is_far_larger_than_the_median_is_named():
    round_ = sites([changed_by(length) for length in (1.0, 1.2, 0.9, 9.9, 10.1)])
    assert set(too_large(round_, 9.0)) == set()
    assert too_large(round_, 8.4) == {
        "s4": "its change is 8.42 times as long as the median, the limit is 8.4"
    }
    assert set(too_large(round_, 5.0)) == {"s3", "s4"}
    assert too_large(round_, 0.0) == {}


def test_a_round_in_which_nobody_moved_and_an_empty_one():
    assert too_large(sites([changed_by(0.0), changed_by(0.0), changed_by(1.0)]), 2.0) == {}
    assert too_large({}, 2.0) == {}
    assert unlike_others({}) == {}


def test_who_sends_other_tensors_than_most_is_named():
    usual = Update({"model/x": np.ones(2)}, {"model": 1.0})
    hidden = Update({"buffers/x": np.full(2, 9.0)}, {"buffers": 1.0})
    more = Update({"model/x": np.ones(2), "control/x": np.ones(2)}, {"model": 1.0, "control": 1.0})
    assert unlike_others(sites([hidden, usual, usual])) == {
        "s0": "the update holds 'buffers/x', unlike those of most sites"
    }
    assert set(unlike_others(sites([usual, more, usual, hidden]))) == {"s1", "s3"}
    assert unlike_others(sites([usual, usual])) == {}
    lacking = unlike_others(sites([more, more, usual]))
    assert lacking == {"s2": "the update lacks 'control/x', unlike those of most sites"}


@pytest.mark.parametrize("weight", [0.0, -1.0, 1e-101, 5e-324, 1e16, np.nan, np.inf])
def test_weights_that_would_blow_up_a_mean_are_refused(weight):
    with pytest.raises(WireError, match="weight"):
        check_update(Update({"model/x": np.ones(2)}, {"model": weight}))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e46, -1e300])
def test_numbers_that_are_none_or_too_large_are_refused(value):
    update = Update({"model/x": np.array([1.0, value])}, {"model": 1.0})
    with pytest.raises(WireError, match=r"NaN|too large"):
        check_update(update)
