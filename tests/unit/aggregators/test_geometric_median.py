"""The geometric median by weighted sums, its whole conversation held in memory."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from medfed.aggregators.chunks import PHASE
from medfed.aggregators.geometric_median import GeometricMedian
from medfed.core.errors import Refused
from medfed.core.packing import PackedUpdate, pack_half
from medfed.core.update import Update


class Sites:
    """Sites that answer as theirs do, each with its memory; some fall silent after a phase."""

    def __init__(self, rule, updates, silent_after=()):
        self.rule, self.updates = rule, updates
        self.memory = {name: {} for name in updates}
        self.silent_after = dict(silent_after)
        self.phases = []

    def ask(self, phase, each):
        self.phases.append(phase)
        replies = []
        for name, update in self.updates.items():
            if name not in self.memory:
                continue
            received = each.get(name, Update())
            reply, self.memory[name] = self.rule.answer(
                phase, received, partial(itself, update), self.memory[name]
            )
            replies.append(PackedUpdate(name, reply))
        for name, last in self.silent_after.items():
            if last == phase:
                self.memory.pop(name)
        return replies


def itself(update):
    return update


def update_of(model, weight, stats=()):
    tensors = {"model/x": (weight * model[:-1]).astype(np.float32).reshape(1, -1)}
    tensors["buffers/n"] = np.float32(weight) * model[-1:].astype(np.float32)
    return Update(tensors, {"model": weight, "buffers": weight}, dict(stats))


def gathered(rule, models, weights, **how):
    updates = {
        f"s{i}": update_of(*each) for i, each in enumerate(zip(models, weights, strict=True))
    }
    sites = Sites(rule, updates, **how)
    return rule.gather(sites.ask, {}), sites


def estimate(result):
    return np.concatenate([result.total.mean("model")["x"][0], result.total.mean("buffers")["n"]])


def exact(models, weights):
    """The minimum of the weighted sum of distances, by a solver that knows nothing of Weiszfeld."""

    def cost(x):
        return float(weights @ np.linalg.norm(models - x, axis=1))

    starts = [*models, np.average(models, axis=0, weights=weights)]
    found = [minimize(cost, start, method="Nelder-Mead", options=TIGHT) for start in starts]
    return cost, min(one.fun for one in found)


TIGHT = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000}


@st.composite
def federations(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sites = draw(st.integers(3, 7))
    return rng.standard_normal((sites, 3)), rng.integers(1, 50, sites).astype(float)


@settings(max_examples=15)
@given(federations())
def test_it_comes_to_the_least_sum_of_distances(federation):
    models, weights = federation
    result, sites = gathered(GeometricMedian(exchanges=32), models, weights)
    cost, least = exact(models, weights)
    assert cost(estimate(result)) <= least * 1.01 + 1e-9
    assert len(sites.phases) == 32
    assert result.total.weights["model"] == weights.sum()


@given(federations())
def test_every_exchange_brings_it_nearer(federation):
    models, weights = federation

    def cost(x):
        return float(weights @ np.linalg.norm(models - x, axis=1))

    costs = [
        cost(estimate(gathered(GeometricMedian(exchanges=n), models, weights)[0]))
        for n in (2, 4, 8)
    ]
    mean = cost(np.average(models, axis=0, weights=weights))
    assert all(b <= a * (1 + 1e-5) for a, b in zip([mean, *costs], costs, strict=False))


def test_a_wrong_site_however_far_off_hardly_counts():
    rng = np.random.default_rng(5)
    models = rng.standard_normal((5, 6))
    weights = np.full(5, 10.0)
    right = np.average(models[:4], axis=0)
    models[4] = 1e6
    mean = np.average(models, axis=0)
    found = estimate(gathered(GeometricMedian(exchanges=12), models, weights)[0])
    assert np.linalg.norm(mean - right) > 1e5
    assert np.linalg.norm(found - right) < 3


def test_sites_that_agree_give_their_model():
    models = np.tile([1.5, -2.0, 0.25, 3.0], (3, 1))
    result, _ = gathered(GeometricMedian(), models, np.array([1.0, 5.0, 2.0]))
    np.testing.assert_allclose(estimate(result), models[0], rtol=1e-6)


def test_a_site_that_falls_silent_is_left_out_of_the_result_and_of_the_figures():
    rule = GeometricMedian(exchanges=3)
    updates = {
        name: update_of(np.full(4, value), 1.0, {"n": np.array(1)}.items())
        for name, value in (("a", 0.0), ("b", 0.1), ("c", 50.0))
    }
    sites = Sites(rule, updates, silent_after={"c": "nearer-1"}.items())
    result = rule.gather(sites.ask, {})
    assert result.participants == ("a", "b")
    assert set(result.by_site) == {"a", "b"}
    assert int(result.total.stats["n"]) == 2
    assert np.all(estimate(result) < 0.11)


def test_half_precision_is_unpacked_before_it_is_weighed():
    rule = GeometricMedian(exchanges=2)
    plain = {n: update_of(np.arange(4.0) + i, 2.0) for i, n in enumerate("abc")}
    packed = {
        name: Update(
            {k: v for key, value in u.tensors.items() for k, v in pack_half(key, value).items()},
            u.weights,
        )
        for name, u in plain.items()
    }
    one, other = (rule.gather(Sites(rule, u).ask, {}) for u in (plain, packed))
    np.testing.assert_allclose(estimate(one), estimate(other), rtol=1e-3)


def test_scores_alone_take_one_exchange():
    rule = GeometricMedian()
    updates = {"a": Update(stats={"n": np.array(3)}), "b": Update(stats={"n": np.array(4)})}
    sites = Sites(rule, updates)
    result = rule.gather(sites.ask, {})
    assert sites.phases == [PHASE]
    assert int(result.total.stats["n"]) == 7


@pytest.mark.parametrize("phase", ["nearer-1", "unknown"])
def test_a_phase_that_it_cannot_answer_is_refused(phase):
    mine = (
        {} if phase == "nearer-1" else {"update/model/x": np.ones(2), "weight/model": np.ones(())}
    )
    with pytest.raises(Refused):
        GeometricMedian().answer(phase, Update(), Update, mine)


def test_an_estimate_of_other_tensors_is_refused():
    rule = GeometricMedian()
    _, mine = rule.answer(PHASE, Update(), lambda: update_of(np.ones(4), 1.0), {})
    with pytest.raises(Refused):
        rule.answer("nearer-1", Update({"model/y": np.ones(3)}), Update, mine)


class Liars(Sites):
    """Sites, one of which claims to be very near whatever the estimate is."""

    def ask(self, phase, each):
        replies = super().ask(phase, each)
        return [PackedUpdate("s4", boast(replies[4], phase)), *replies[:4]][::-1]


def boast(reply, phase):
    factor = 1.0 if phase == PHASE else 1e9
    names = {n: factor * reply.chunk(n, 0, 99).reshape(reply.shape(n)) for n in reply.names()}
    return Update(names, {k: factor * w for k, w in reply.weights().items()}, reply.stats())


def test_a_site_that_claims_to_be_near_is_not_believed():
    rng = np.random.default_rng(5)
    models = rng.standard_normal((5, 6))
    models[4] = 1e4
    rule = GeometricMedian(exchanges=12)
    updates = {f"s{i}": update_of(model, 10.0) for i, model in enumerate(models)}
    honest = rule.gather(Sites(rule, updates).ask, {})
    lied_to = rule.gather(Liars(rule, updates).ask, {})
    assert np.linalg.norm(estimate(honest) - models[:4].mean(axis=0)) < 3
    np.testing.assert_allclose(estimate(lied_to), estimate(honest), rtol=1e-4, atol=1e-5)
    assert set(lied_to.participants) == set(updates)


def test_a_reply_with_nothing_to_compare_is_left_out():
    rule = GeometricMedian(exchanges=2)
    updates = {f"s{i}": update_of(np.full(4, float(i)), 1.0) for i in range(3)}
    sites = Sites(rule, updates)

    def ask(phase, each):
        replies = sites.ask(phase, each)
        if phase != PHASE:
            replies[2] = PackedUpdate("s2", Update({"model/y": np.ones(2)}, {"model": 1.0}))
        return replies

    assert rule.gather(ask, {}).participants == ("s0", "s1")
