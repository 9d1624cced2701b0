"""Published and independently computed values; composing and calibrating."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfed.core.mechanism import NoisyAnswer
from medfed.privacy import accountant
from medfed.privacy.accountant import calibrate, delta, epsilon


@pytest.fixture
def vectors(need):
    return json.loads(need("privacy-vectors/dp_accounting_vectors.json").read_text())


def gaussian(noise, rate=1.0, times=1):
    return NoisyAnswer("gaussian", noise, rate, times)


def test_golden_values_of_poisson_sampled_gaussians(vectors):
    for case in vectors["computed"]:
        answer = gaussian(case["sigma"], case["q"], case["steps"])
        exact = epsilon([answer], case["delta"], interval=1e-4)
        assert exact == pytest.approx(case["pld_dp_accounting"], rel=1e-6), case
        quick = epsilon([answer], case["delta"])
        assert exact <= quick + 1e-9, "a coarser grid may only say more"
        assert quick == pytest.approx(exact, rel=1e-2), case
        assert exact < case["rdp_dp_accounting"], "Rényi bounds are looser"


def test_values_that_google_and_tensorflow_assert(vectors):
    asserted = {v["name"]: v["expected"] for v in vectors["upstream_asserted"]}
    once = asserted["PLD delta(eps=1) of 3x Gaussian sigma=sqrt3 (=mu 1)"]
    assert delta([gaussian(math.sqrt(3), times=3)], 1.0) == pytest.approx(once, abs=1e-3)
    sampled = asserted["PLD delta(eps=1) of 3x Poisson(0.2) Gaussian sigma=0.5"]
    assert delta([gaussian(0.5, 0.2, 3)], 1.0) == pytest.approx(sampled, abs=1e-3)
    rdp = asserted["TFP n,batch,sigma,epochs,delta=(60000, 150, 1.3, 15, 1e-05)"]
    ours = epsilon([gaussian(1.3, 150 / 60000, 6000)], 1e-5)
    assert 0.8 * rdp < ours < rdp, "no looser than the Rényi bound asserted there"


def test_gaussians_are_exactly_gaussian_differential_privacy():
    from scipy.stats import norm

    for mu, at in ((1.0, 1.0), (0.5, 0.3), (2.0, 4.0)):
        exact = norm.cdf(-at / mu + mu / 2) - math.exp(at) * norm.cdf(-at / mu - mu / 2)
        assert delta([gaussian(1 / mu)], at, interval=1e-4) == pytest.approx(exact, rel=1e-3)


def test_laplace_is_pure():
    found = epsilon([NoisyAnswer("laplace", 2.0)], 1e-9)
    assert found == pytest.approx(0.5, abs=2e-3)


def test_order_and_grouping_do_not_matter():
    parts = [gaussian(2.0), gaussian(3.0, 0.1, 5), gaussian(2.0, times=4)]
    whole = [gaussian(3.0, 0.1, 2), gaussian(2.0, times=5), gaussian(3.0, 0.1, 3)]
    assert epsilon(parts, 1e-5) == epsilon(whole, 1e-5)


@settings(max_examples=15)
@given(
    noise=st.floats(0.6, 8),
    rate=st.sampled_from([0.02, 0.2, 1.0]),
    times=st.integers(1, 40),
)
def test_more_answers_cost_more_and_more_noise_costs_less(noise, rate, times):
    at = epsilon([gaussian(noise, rate, times)], 1e-5)
    assert epsilon([gaussian(noise, rate, times + 5)], 1e-5) >= at
    assert epsilon([gaussian(noise * 1.2, rate, times)], 1e-5) <= at + 1e-6


@pytest.mark.parametrize("target", [0.5, 3.0, 8.0])
def test_calibration_gives_the_least_noise(target):
    def answers(noise):
        return [gaussian(noise, 0.1, 100)]

    noise = calibrate(answers, target, 1e-5)
    assert epsilon(answers(noise), 1e-5) <= target
    assert epsilon(answers(noise * 0.995), 1e-5) > target


def test_no_noise_is_endless_and_nothing_costs_nothing():
    assert epsilon([gaussian(0.001)], 1e-5) == math.inf
    assert epsilon([], 1e-5) == 0.0


def test_absurd_budgets_are_counted_quickly_and_never_too_small(monkeypatch):
    monkeypatch.setattr(accountant, "_composed", lambda *_: pytest.fail("it takes minutes"))
    least = 1000 / (2 * 0.3**2)  # the mean loss of a thousand such Gaussians; ε is above it
    assert least < epsilon([gaussian(0.3, times=1000)], 1e-5) < 3 * least
    assert epsilon([gaussian(0.3, 0.1, 20_000)], 1e-5) > 100


def test_counting_says_nothing_on_the_screen(caplog, capfd):
    epsilon([gaussian(2.536865, 0.246154, 60)], 1e-4)
    epsilon([gaussian(0.9, 0.01, 500), NoisyAnswer("laplace", 1.0)], 1e-4)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
