"""Canaries under a run's own privacy lines: the bound stays below the claim, and finds a lie."""

from dataclasses import replace

import numpy as np
import pytest

from medfed.core.mechanism import Bounds, SitePlan
from medfed.core.registry import Part, make
from medfed.core.task import LocalPlan
from medfed.frameworks.private import PrivateJob
from medfed.privacy.accountant import epsilon
from medfed.privacy.audit import most_noise, scaled
from medfed.privacy.noise import SecretRandom
from medfed.privacy.statistics import noise as noising
from medfed.services.evidence.canary import LOOKS

PEOPLE = {"north": 130}
STEPS = (LocalPlan(steps=4, batch_size=32),)
RECORD = {"epsilon": 5.0, "label_epsilon": 1.0}
CASES = {
    "steps": (Part("dp-sgd", {"epsilon": 6.6, "delta": 1e-5, "patients": PEOPLE}), STEPS),
    "rising": (
        Part("dp-sgd", {"epsilon": 6.6, "budget": "rising", "patients": PEOPLE}),
        STEPS,
    ),
    "gradient": (Part("dp-sgd", {"noise": 3.0, "patients": PEOPLE}), (None,)),
    "hospital": (Part("hospital-dp", {"epsilon": 8.0}), STEPS),
    "adaptive": (
        Part("hospital-dp", {"epsilon": 8.0, "quantile": 0.5, "budget": "adaptive"}),
        STEPS,
    ),
    "record": (Part("local-dp", RECORD), STEPS),
}


def looked(name, rounds=10):
    part, work = CASES[name]
    mechanism = make("mechanism", part)
    plan = SitePlan("north", 3, rounds, work, Bounds(10, -3.0, 3.0))
    without, there, threshold, answers = LOOKS[type(mechanism)](
        mechanism, plan, range(1, rounds + 1)
    )
    share = most_noise(without, there, threshold, answers)
    return share, answers, mechanism.delta


@pytest.mark.parametrize("name", CASES)
def test_the_bound_is_below_the_claim_and_not_far(name):
    share, answers, delta = looked(name)
    assert share >= 1.0, "more leaks than is claimed"
    least, claimed = epsilon(scaled(answers, share), delta), epsilon(answers, delta)
    assert 0.5 * claimed < least <= claimed, "an audit that sees nothing proves nothing"


@pytest.mark.parametrize(("name", "left"), [("steps", 0.7), ("gradient", 0.8), ("hospital", 0.8)])
def test_noise_that_is_cut_is_found(name, left, monkeypatch):
    plain = SecretRandom.gaussian
    monkeypatch.setattr(SecretRandom, "gaussian", lambda self, n: left * plain(self, n))
    assert looked(name)[0] < 1.0


def test_noise_of_records_that_is_cut_by_a_third_is_found(monkeypatch):
    plain = noising.noised
    monkeypatch.setattr(noising, "noised", lambda x, kind, noise: plain(x, kind, 0.67 * noise))
    assert looked("record")[0] < 1.0


def test_a_clip_that_does_not_hold_is_found(monkeypatch):
    """Gradients twice as long as claimed, under the noise of the claim."""
    plain = PrivateJob.__init__, PrivateJob._noised

    def loose(self, job, terms, random):
        terms.clip *= 2.0
        plain[0](self, job, terms, random)

    monkeypatch.setattr(PrivateJob, "__init__", loose)
    monkeypatch.setattr(
        PrivateJob, "_noised", lambda self, named, who, noise: plain[1](self, named, who, noise / 2)
    )
    assert looked("steps")[0] < 1.0


def test_patients_who_are_drawn_too_often_are_found(monkeypatch):
    plain = SecretRandom.uniform
    monkeypatch.setattr(SecretRandom, "uniform", lambda self, n: 0.6 * plain(self, n))
    assert looked("steps")[0] < 1.0


def test_canaries_that_nobody_sees_bound_nothing():
    rng = np.random.default_rng(0)
    answers = looked("gradient", rounds=1)[1]
    assert most_noise(rng.normal(size=500), rng.normal(size=500), 0.0, answers) == np.inf


def test_the_bound_is_never_above_what_is_there():
    rng = np.random.default_rng(1)
    (answer,) = looked("gradient", rounds=1)[1]
    truth = [replace(answer, noise=1.0)]
    for _ in range(20):
        share = most_noise(rng.normal(0, 1, 500), rng.normal(1, 1, 500), 0.5, truth)
        assert share >= 1.0
