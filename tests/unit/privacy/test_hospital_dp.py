"""Hospital-level privacy: whole updates are clipped, the clip finds its quantile, noise stays."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integration.federated import SITES, Recorder, go
from integration.test_private_runs import private_text
from unit.privacy.noisy import has_deviation

from medfed.core.errors import Refused, StudyError
from medfed.core.mechanism import SitePlan
from medfed.core.study_file import parse_study
from medfed.core.update import Update
from medfed.federation.privacy import CoordinatorPrivacy
from medfed.privacy.accountant import epsilon
from medfed.privacy.hospital_dp import BELOW, CLIP, HospitalDp
from medfed.privacy.noise import SecretRandom
from medfed.privacy.words import all_promises
from medfed.services.sites import open_ledger
from medfed.storage.run_folder import RunFolder

HOSPITAL = """
[[privacy]]
name = "hospital-dp"
noise = {noise}
delta = 1e-2
clip = {clip}
scores = "public"
{more}
"""


def study(*, noise=0.1, clip=1.0, more="", rounds=3, **changes):
    privacy = HOSPITAL.format(noise=noise, clip=clip, more=more)
    return parse_study(private_text(privacy=privacy, rounds=rounds, **changes))


@pytest.mark.parametrize(
    "how",
    [{"noise": "1e200"}, {"more": "quantile = 0.5\ncount_noise = 1e200"}],
)
def test_noise_that_nobody_can_count_with_is_refused_in_a_sentence(how):
    with pytest.raises(StudyError, match="10000"):
        study(**how)


COUNT = """
[[statistics]]
name = "dp-count"
epsilon = 1.0
"""


def test_noise_for_a_patient_is_refused_beside_it_for_it_hides_no_hospital():
    with pytest.raises(StudyError, match="the whole hospital would show") as no:
        study(more=COUNT)
    assert "statistics" in str(no.value)
    text = private_text(privacy=HOSPITAL.format(noise=0.1, clip=1.0, more=""))
    with pytest.raises(StudyError, match="Remove facts_epsilon"):
        parse_study(text.replace("hidden =", "facts_epsilon = 1.0\nhidden ="))


class Till:
    round = 1

    def __init__(self):
        self.paid = []

    def pay(self, cost):
        self.paid.append(cost)


def update(*values, weight=50.0, buffer=0.0):
    model = np.array(values, np.float32) * np.float32(weight)
    tensors = {"model/w": model, "buffers/b": np.array([buffer * weight])}
    return Update(tensors, {"model": weight, "buffers": weight}, {"train/steps": np.array(7.0)})


PLAN = SitePlan("north", 3, 10, (None,))


def sent(mechanism, given, asked=None, till=None):
    return mechanism.on_site(given, PLAN, till or Till(), asked or {})


def length(tensors):
    return math.sqrt(sum(float(np.vdot(v, v)) for v in tensors.values()))


@settings(max_examples=60)
@given(
    values=st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1),
    weight=st.floats(1, 1e4),
    clip=st.floats(1e-3, 1e3),
)
def test_a_hospital_adds_no_more_than_the_clip_whatever_it_computed(values, weight, clip):
    with np.errstate(all="ignore"):
        found = sent(HospitalDp(noise=1.0, clip=clip), update(*values, weight=weight))
    assert length(found.tensors) <= clip * (1 + 1e-3)
    assert set(found.weights.values()) == {1.0}
    assert not found.stats, "no count of patients, steps or losses leaves"


def test_everything_that_is_sent_is_clipped_together():
    found = sent(HospitalDp(noise=1.0, clip=1.0), update(3.0, buffer=4.0))
    assert length(found.tensors) == pytest.approx(1.0)
    assert float(found.tensors["buffers/b"][0]) == pytest.approx(0.8)


def test_it_is_paid_before_it_leaves():
    class Empty(Till):
        def pay(self, cost):
            raise Refused("budget-spent")

    with pytest.raises(Refused):
        sent(HospitalDp(noise=1.0), update(1.0), till=Empty())


@pytest.mark.parametrize("clip", [-1.0, 0.0, float("inf"), float("nan")])
def test_a_coordinator_cannot_ask_for_no_clip(clip):
    with pytest.raises(Refused):
        sent(HospitalDp(noise=1.0), update(1.0), {"clip": clip})


def test_noise_and_denominator_do_not_depend_on_who_answered():
    mechanism = HospitalDp(noise=2.0, clip=0.5)
    for answered in (1, 3):
        total = Update({"model/w": np.zeros(20_000, np.float32)}, {"model": float(answered)})
        noised, _ = mechanism.on_total(total, PLAN, {})
        assert float(noised.tensors["model/w"].std()) == pytest.approx(1.0, rel=0.05)
        assert noised.weights == {"model": 3.0}


@pytest.mark.parametrize("quantile", [0.3, 0.5, 0.8])
def test_the_clip_converges_to_the_quantile(quantile):
    rng = np.random.default_rng(3)
    norms = rng.lognormal(1.0, 0.7, 60)
    mechanism = HospitalDp(noise=0.5, clip=0.01, quantile=quantile, count_noise=4.0)
    plan, memory, shares = SitePlan("north", 60, 200, (None,)), {}, []
    for _ in range(200):
        clip = mechanism.asks(memory)["clip"]
        bits = sum(
            float(mechanism.on_site(update(n), plan, Till(), {"clip": clip}).stats[BELOW])
            for n in norms
        )
        total = Update({"model/w": np.zeros(1, np.float32)}, {"model": 60.0}, {BELOW: bits})
        _, memory = mechanism.on_total(total, plan, memory)
        shares.append(float(np.mean(norms <= clip)))
    assert np.mean(shares[-80:]) == pytest.approx(quantile, abs=0.06)


def test_the_clip_grows_where_too_few_are_below_it():
    mechanism = HospitalDp(noise=1.0, quantile=0.5)
    assert mechanism.next_clip(1.0, -1.5, 3) == pytest.approx(math.exp(0.2 * 0.5))
    assert mechanism.next_clip(1.0, +1.5, 3) == pytest.approx(math.exp(-0.2 * 0.5))


def test_bits_and_update_together_cost_what_is_paid():
    """Theorem 1 of Andrew et al.: 1/z² = 1/z_Δ² + (½)²/σ_b²."""
    mechanism = HospitalDp(noise=1.3, quantile=0.5, count_noise=0.9)
    bits, updates = 0.9 * 1.3, mechanism.update_noise(PLAN)
    assert 1 / updates**2 + 0.25 / bits**2 == pytest.approx(1 / 1.3**2)
    assert updates > 1.3


def noise_on_bits(mechanism, memory, draws=4000):
    """What was added to the sum of bits, read from where the clip went."""
    plan = SitePlan("north", 1000, 10, (None,))  # so many sites that the share is within 0 and 1
    zero = np.zeros(1, np.float32)
    total = Update({"model/w": zero}, {"model": 1000.0}, {BELOW: np.asarray(3.0)})
    clips = [float(mechanism.on_total(total, plan, memory)[1][CLIP]) for _ in range(draws)]
    shares = mechanism.quantile - np.log(np.array(clips) / mechanism.clip) / mechanism.clip_lr
    return (shares - 0.5) * 1000 - 3.0


@pytest.mark.parametrize(
    ("budget", "memory", "factor"),
    [("constant", {}, 1.0), ("adaptive", {"weight": np.asarray(2.0)}, 2.0**-0.5)],
)
def test_the_bits_get_the_noise_that_is_paid_for(budget, memory, factor, monkeypatch):
    mechanism = HospitalDp(noise=2.0, quantile=0.5, count_noise=1.5, budget=budget)
    paid = factor * 1.5 * 2.0
    assert has_deviation(noise_on_bits(mechanism, memory), paid)
    drawer = SecretRandom.gaussian
    monkeypatch.setattr(SecretRandom, "gaussian", lambda self, count: 0.8 * drawer(self, count))
    assert not has_deviation(noise_on_bits(mechanism, memory), paid)


def test_the_noise_follows_from_epsilon():
    mechanism = HospitalDp(epsilon=5.0, delta=1e-2)
    assert 4.99 < epsilon(mechanism.cost(PLAN).answers, 1e-2) <= 5.0


def test_a_run_pays_each_round_and_its_clip_moves(tmp_path):
    # After an odd number of rounds: noise may move the clip as far up as down, and back it is.
    found = study(noise=5.0, clip=0.3, more="quantile = 0.5", rounds=3)
    go(found, tmp_path / "run", report=False)
    state, _ = RunFolder(tmp_path / "run").load()
    assert 0.3 * math.exp(-0.2 * 3) < float(state.memory["privacy0/clip"]) != 0.3
    for site in SITES:
        entries = open_ledger(tmp_path / "run/sites" / site).entries()
        assert [(e.round, e.unit) for e in entries] == [(r, "hospital") for r in range(1, 4)]


def rounds_paid(out):
    return [e.round for e in open_ledger(out / "sites/north").entries()]


def test_going_back_to_an_older_checkpoint_is_paid_anew(tmp_path):
    """The same sum with other noise would be a second answer about the same updates."""
    found, out = study(noise=5.0, rounds=2), tmp_path / "run"
    go(found, out, report=False)
    (out / "result.json").unlink()
    (out / "checkpoints/round-000002.safetensors").unlink()
    go(found, out, resume=True, report=False)
    assert rounds_paid(out) == [1, 2, 2]


def test_a_crash_before_the_noise_costs_nothing(tmp_path, monkeypatch):
    found, out = study(noise=5.0, rounds=2), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(CoordinatorPrivacy, "total", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            go(found, out, report=False)
    assert (out / "attempt.json").exists()
    assert rounds_paid(out) == [1]
    go(found, out, resume=True, report=False)
    assert rounds_paid(out) == [1, 2]
    assert not (out / "attempt.json").exists(), "used up"


def test_a_crash_after_the_noise_is_paid_anew(tmp_path, monkeypatch):
    found, out = study(noise=5.0, rounds=1), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(HospitalDp, "on_total", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            go(found, out, report=False)
    go(found, out, resume=True, report=False)
    assert rounds_paid(out) == [1, 1]


def test_a_run_that_will_drown_says_so_first(tmp_path):
    said = Recorder()
    go(study(noise=20.0, rounds=1), tmp_path / "run", said, report=False)
    kinds = [type(e).__name__ for e in said.events]
    assert "times as long as the longest update" in said.said()
    assert kinds.index("Notice") < kinds.index("RunStarted")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"strategy": "scaffold"}, "strategy.name"),
        ({"strategy": "fednova"}, "strategy.name"),
        ({"aggregator": "median"}, "aggregator.name"),
        ({"compression": "top-k"}, "compression.name"),
    ],
)
def test_what_is_no_clipped_sum_is_refused(changes, field):
    with pytest.raises(StudyError) as refused:
        study(**changes)
    assert field in {p.field for p in refused.value.problems}


def test_a_gate_that_leaves_updates_out_is_refused():
    """Whether an update is left out depends on the others: several clips at once."""
    text = private_text(privacy=HOSPITAL.format(noise=0.1, clip=1.0, more=""))
    gated = text.replace('name = "mean"', 'name = "mean"\nnorm_limit = 3.0')
    with pytest.raises(StudyError) as refused:
        parse_study(gated)
    (problem,) = refused.value.problems
    assert (problem.field, problem.remedy) == ("aggregator.norm_limit", "Remove norm_limit")
    parse_study(text)


def test_the_promise_says_that_the_coordinator_is_trusted():
    ((_, sentences),) = all_promises(study(noise=9.0))
    text = " ".join(sentences)
    assert "Not against the coordinator" in text
    assert "times as long" in text
