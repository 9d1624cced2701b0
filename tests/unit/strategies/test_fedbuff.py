"""FedBuff's weights, and what the asynchronous loop makes of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.core.strategy import Turn
from medfed.core.update import Update, add_updates
from medfed.strategies.fedbuff import FedBuff


@pytest.mark.parametrize(("tau", "weight"), [(0, 1.0), (1, 2**-0.5), (3, 0.5), (-2, 1.0)])
def test_a_late_reply_weighs_less(tau, weight):
    assert FedBuff().staleness_weight(tau) == pytest.approx(weight)


@given(st.integers(0, 1000), st.floats(0, 3))
def test_weights_fall_with_staleness_and_do_not_without_it(tau, a):
    strategy = FedBuff(staleness=a)
    assert 0 < strategy.staleness_weight(tau + 1) <= strategy.staleness_weight(tau) <= 1
    assert FedBuff(staleness=0).staleness_weight(tau) == 1


def reply(strategy, delta, patients, tau):
    """A reply as the asynchronous loop hands it on: tensors scaled, weights not."""
    scale = strategy.staleness_weight(tau) * patients
    return Update({"model/x": scale * np.array([delta])}, {"model": float(patients)})


def test_a_step_is_the_papers_sum_over_k_for_sites_of_one_size():
    strategy = FedBuff(buffer=3, server_lr=0.5)
    arrived = [(1.0, 0), (-2.0, 3), (5.0, 8)]
    total = add_updates([reply(strategy, d, 20, tau) for d, tau in arrived])
    state = strategy.step(strategy.begin({"x": np.zeros(1)}), total, Turn(1, 1, 3))
    expected = 0.5 * sum(d / np.sqrt(1 + tau) for d, tau in arrived) / 3
    np.testing.assert_allclose(state.model["x"], [expected])


def test_a_buffer_of_stale_replies_makes_a_shorter_step():
    strategy = FedBuff()
    total = add_updates([reply(strategy, 1.0, n, 3) for n in (10, 30)])
    state = strategy.step(strategy.begin({"x": np.zeros(1)}), total, Turn(1, 1, 2))
    np.testing.assert_allclose(state.model["x"], [0.5])
    assert strategy.asynchronous
