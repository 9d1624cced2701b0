"""The Rényi filter: published values, and what an adversary who chooses by answers can reach."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from medfed.core.ledger import MOST_ORDER, Limit
from medfed.core.mechanism import NoisyAnswer
from medfed.privacy.accountant import delta, deltas, epsilon
from medfed.privacy.renyi import bound, divergence, order_for, used


def gaussian(noise, rate=1.0, times=1):
    return NoisyAnswer("gaussian", noise, rate, times)


def laplace(noise, rate=1.0, times=1):
    return NoisyAnswer("laplace", noise, rate, times)


def limit(epsilon, delta=1e-5, order=None):
    return Limit(epsilon, delta, "proven", order or order_for(epsilon, delta))


@pytest.fixture
def vectors(need):
    return json.loads(need("privacy-vectors/dp_accounting_vectors.json").read_text())


@pytest.fixture
def asserted(vectors):
    return {one["name"]: one["expected"] for one in vectors["upstream_asserted"]}


def test_what_opacus_and_dp_accounting_make_of_sampled_gaussians(vectors):
    """At the best order the filter ends where their Rényi accountants put ε."""
    for case in vectors["computed"]:
        answers = [gaussian(case["sigma"], case["q"], case["steps"])]
        for told in (case["rdp_dp_accounting"], case["rdp_opacus"]):
            shares = [used(answers, limit(told, case["delta"], n)) for n in range(2, 65)]
            assert 1.0 - 1e-6 < min(shares) < 1.12, "they have orders between whole ones too"


def test_the_bound_is_the_conversion_that_google_asserts(asserted):
    told = asserted["constant RDP 1.1 over orders 2..32, delta 1e-5 -> epsilon, order 32"]
    assert bound(told, 1e-5, 32) == pytest.approx(1.1, abs=1e-9)
    name = "Gaussian noise multiplier 4.530877117 gives epsilon 1 at delta 1e-6"
    told = next(value for key, value in asserted.items() if key.startswith(name))
    shares = [used([gaussian(4.530877117)], limit(told, 1e-6, n)) for n in range(2, 100)]
    assert min(shares) == pytest.approx(1.0, rel=1e-3), "they have orders between whole numbers too"
    assert min(shares) >= 1.0 - 1e-9


def test_divergences_are_those_of_the_papers():
    """Mironov 2017 (arXiv:1702.07476), table II; by its definition for Laplace noise."""
    for order, noise in ((2, 1.0), (7, 3.0), (18, 20.0)):
        assert divergence([gaussian(noise)], order) == pytest.approx(order / (2 * noise**2))

        def integrand(x, order=order, noise=noise):
            return math.exp((-order * abs(x) + (order - 1) * abs(x - 1)) / noise) / (2 * noise)

        whole = quad(integrand, -60 * noise, 0)[0] + quad(integrand, 0, 1)[0]
        whole += quad(integrand, 1, 60 * noise)[0]
        exact = math.log(whole) / (order - 1)
        assert divergence([laplace(noise)], order) == pytest.approx(exact, rel=1e-6)


def test_the_figure_of_the_moments_accountant_in_its_paper():
    """Abadi et al. 2016 (arXiv:1607.00133), section 3: q = 0.01, σ = 4, 10,000 steps, ε = 1.26."""
    answers, told = [gaussian(4.0, 0.01, 10_000)], 1.26
    orders = range(2, 65)
    old = min(divergence(answers, n) + math.log(1e5) / (n - 1) for n in orders)  # their conversion
    assert old == pytest.approx(told, abs=5e-3)
    new = min(used(answers, limit(told, order=n)) for n in orders)
    assert 0.5 < new < 1.0, "the newer conversion admits it with room"
    assert epsilon(answers, 1e-5) < told


@pytest.mark.parametrize(
    ("epsilon", "order"), [(0.1, 104), (1.0, 15), (3.0, 7), (10.0, 3), (30.0, 2), (1000.0, 2)]
)
def test_the_order_is_low_and_nearly_the_best_for_gaussian_answers(epsilon, order):
    assert order_for(epsilon, 1e-5) == order
    reach = [bound(epsilon, 1e-5, n) / n for n in range(2, 2000)]
    assert reach[order - 2] >= 0.95 * max(reach)


def test_a_limit_so_small_that_no_order_helps_admits_laplace_answers_all_the_same():
    small = limit(1e-4)
    assert small.order == MOST_ORDER
    assert used([gaussian(1e6)], small) == math.inf
    assert used([laplace(2e4)], small) == pytest.approx(0.5)
    assert used([laplace(2e4), gaussian(1e6)], small) == math.inf
    assert used([], small) == 0.0
    assert used([laplace(1e4)], limit(0.0)) == math.inf


def test_few_laplace_answers_pass_by_their_pure_epsilon():
    ten = limit(10.0)
    answers = [laplace(1 / 5.0), laplace(1 / 4.5)]
    assert divergence(answers, ten.order) > bound(10.0, 1e-5, ten.order)
    assert used(answers, ten) == pytest.approx(0.95)
    many = [laplace(10.0, times=300)]
    assert used(many, ten) < 1.0 < sum(a.times / a.noise for a in many) / 10, "many by divergence"


def test_a_laplace_answer_about_a_sample_is_charged_as_about_everybody():
    assert divergence([laplace(2.0, 0.1)], 3) == divergence([laplace(2.0)], 3)
    assert epsilon([laplace(0.01, 0.5)], 1e-5) == math.inf


def test_no_noise_is_never_admitted():
    assert used([gaussian(0.001)], limit(10.0)) == math.inf
    assert used([laplace(0.001)], limit(10.0)) == math.inf


ANSWERS = st.builds(
    NoisyAnswer,
    st.just("gaussian"),
    st.floats(0.7, 8.0),
    st.sampled_from([0.02, 0.1, 0.5, 1.0]),
    st.integers(1, 30),
) | st.builds(NoisyAnswer, st.just("laplace"), st.floats(0.3, 8.0), st.just(1.0), st.just(1))


@settings(max_examples=60, deadline=None)
@given(asked=st.lists(ANSWERS, max_size=12), data=st.data(), most=st.sampled_from([1.0, 3.0, 10.0]))
def test_in_whatever_order_they_are_asked_for_the_total_stays_within(asked, data, most):
    given_limit = limit(most)
    admitted: list[NoisyAnswer] = []
    for answer in data.draw(st.permutations(asked)):
        if used([*admitted, answer], given_limit) <= 1.0:
            admitted.append(answer)
    fits = divergence(admitted, given_limit.order) <= bound(most, 1e-5, given_limit.order)
    pure = all(a.kind == "laplace" for a in admitted)
    assert fits or (pure and sum(a.times / a.noise for a in admitted) <= most)
    shuffled = data.draw(st.permutations(admitted))
    assert used(shuffled, given_limit) == used(admitted, given_limit)


@settings(max_examples=15, deadline=None)
@given(answer=ANSWERS, most=st.sampled_from([1.0, 3.0, 10.0]))
def test_whatever_the_filter_admits_the_sum_of_losses_does_too(answer, most):
    times = math.floor(answer.times / max(used([answer], limit(most)), 1e-3))
    if times:
        whole = NoisyAnswer(answer.kind, answer.noise, answer.rate, times)
        assert used([whole], limit(most)) <= 1.0
        assert epsilon([whole], 1e-5) <= most * 1.01, "but for the rounding of losses"


COARSE = 1e-2
"""Losses on a grid that keeps the tests quick; δ comes out too large by less than a thousandth."""


def adaptive_delta(first, second, at):
    """What an adversary reaches who sees the loss of a Gaussian answer and then takes whichever of
    two further ones does more harm there: the integral of the larger δ that is left."""
    mu = 1.0 / first.noise
    losses = np.linspace(mu**2 / 2 - 7 * mu, mu**2 / 2 + 7 * mu, 400)
    weights = np.exp(-((losses - mu**2 / 2) ** 2) / (2 * mu**2))
    harm = np.max([deltas([each], at - losses, COARSE) for each in second], axis=0)
    return float((weights * harm).sum() / weights.sum())


def test_an_adversary_who_chooses_by_an_answer_passes_the_sum_and_not_the_filter():
    """By the sum of losses alone (ε, δ) is broken, by four tenths; the filter stops it."""
    most, chance, first = 1.0, 0.02, gaussian(2.0)
    second = [gaussian(2.92), gaussian(0.3, 0.0242)]
    for each in second:
        assert delta([first, each], most, COARSE) <= chance, "the sum admits either"
    assert adaptive_delta(first, second, most) > 1.35 * chance, "and the choice breaks it"
    shares = [used([first, each], limit(most, chance)) for each in second]
    assert min(shares) > 1.0, "the filter admits neither"


def test_an_adversary_who_takes_all_that_the_filter_admits_stays_within():
    most, chance, first = 1.0, 0.02, gaussian(4.0)
    low = limit(most, chance)

    def largest(make, values):
        return next(make(v) for v in values if used([first, make(v)], low) <= 1.0)

    second = [
        largest(gaussian, np.arange(1.0, 40.0, 0.01)),
        largest(lambda rate: gaussian(0.7, rate), np.arange(0.5, 0.0, -2e-4)),
    ]
    assert all(used([first, each], low) > 0.98 for each in second), "nearly all of it"
    assert adaptive_delta(first, second, most) <= chance
