"""Noise chosen on the way: the filter holds whatever is chosen, and says no before it is spent."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.privacy.test_hospital_dp import Till, update

from medfed.core.errors import Refused
from medfed.core.mechanism import NoisyAnswer, SitePlan
from medfed.core.update import Update
from medfed.privacy.accountant import epsilon
from medfed.privacy.filter import EVEN, LESS, MORE, Filter
from medfed.privacy.hospital_dp import SPENT, WEIGHT, HospitalDp

LOUDNESS = st.floats(0, 1e6, allow_nan=False)


@given(st.integers(1, 60), st.lists(LOUDNESS, min_size=60, max_size=60), st.integers(1, 10**6))
def test_whatever_the_answers_say_the_budget_holds_and_no_round_is_left_without(rounds, said, n):
    left, weight, weights = Filter(rounds), EVEN, []
    for loudness in said[:rounds]:
        weights.append(weight)
        left = left.after(weight)
        if left.done < rounds:
            weight = left.chosen(loudness, n)
    assert len(weights) == rounds
    assert sum(weights) <= rounds * (1 + 1e-9)


def test_weights_that_add_up_to_the_rounds_cost_what_constant_noise_costs():
    answers = [NoisyAnswer("gaussian", 2.0 * one**-0.5) for one in (MORE, MORE, LESS, EVEN, LESS)]
    constant = [NoisyAnswer("gaussian", 2.0, 1.0, 6)]
    assert epsilon(answers, 1e-5) == pytest.approx(epsilon(constant, 1e-5), rel=0.01)


def test_it_checks_before_it_spends():
    left = Filter(4)
    left = left.after(MORE)
    assert not left.admits(MORE)
    with pytest.raises(ValueError, match="admits no such round"):
        left.after(MORE)
    assert (left.done, left.spent) == (1, MORE)


def test_what_is_drowned_gets_less_noise_and_what_is_loud_gets_more():
    left = Filter(10, 1, 1.0)
    assert left.chosen(1.0, 1000) == MORE
    assert left.chosen(2.0, 1000) == EVEN
    assert left.chosen(50.0, 1000) == LESS
    assert Filter(10, 9, 9.5).chosen(1.0, 1000) == LESS


PLAN = SitePlan("north", 3, 6, (None,))


@pytest.mark.parametrize("signal", [0.0, 1e6])
def test_a_mechanism_keeps_to_it(signal):
    mechanism, memory = HospitalDp(noise=2.0, budget="adaptive"), {}
    weights, left, wanted = [], Filter(PLAN.rounds), EVEN
    for _ in range(PLAN.rounds):
        asked, till = mechanism.asks(memory), Till()
        mechanism.on_site(update(1.0, 2.0), PLAN, till, asked)
        (answer,) = till.paid[0].answers
        weights.append((2.0 / answer.noise) ** 2)
        total = Update({"model/w": np.full(500, signal)}, {"model": 3.0})
        noised, memory = mechanism.on_total(total, PLAN, memory)
        # Noise alone passes two deviations once in forty times, so what is wanted is told from it.
        assert weights[-1] == pytest.approx(wanted)
        left = left.after(wanted)
        if left.done < PLAN.rounds:
            loudness = float(np.mean(noised.tensors["model/w"] ** 2)) / answer.noise**2
            wanted = left.chosen(loudness, 500)
        if not signal:
            assert np.std(noised.tensors["model/w"]) == pytest.approx(answer.noise, rel=0.2)
    assert sum(weights) == pytest.approx(float(memory[SPENT]))
    assert sum(weights) <= PLAN.rounds
    if signal:
        assert weights[1] == pytest.approx(LESS)


@pytest.mark.parametrize("weight", [4.0, 0.1, 0.0, -1.0, math.nan, "x", None, [1]])
def test_a_site_takes_no_other_noise(weight):
    mechanism = HospitalDp(noise=2.0, budget="adaptive")
    with pytest.raises(Refused, match="not to be chosen"):
        mechanism.on_site(update(1.0), PLAN, Till(), {WEIGHT: weight})


@pytest.mark.parametrize("budget", ["rising", "adaptive"])
def test_a_budget_of_epsilon_is_what_it_costs(budget):
    mechanism = HospitalDp(epsilon=4.0, delta=1e-3, budget=budget)
    assert epsilon(mechanism.cost(PLAN).answers, 1e-3) == pytest.approx(4.0, rel=0.01)


def test_rising_noise_falls_and_the_site_goes_by_its_own_count():
    mechanism, paid = HospitalDp(noise=2.0, budget="rising"), []
    for round_ in range(1, 7):
        till = Till()
        till.round = round_
        mechanism.on_site(update(1.0), PLAN, till, {WEIGHT: MORE})
        paid.append(till.paid[0].answers[0].noise)
    assert paid == sorted(paid, reverse=True)
    assert paid[0] == pytest.approx(2.0 * 2**0.5)
    assert paid[-1] == pytest.approx(2.0 / 2**0.5)
