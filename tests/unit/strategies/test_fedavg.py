"""FedAvg and its nearest kin: FedProx, FedAvgM, FedSGD, and the shared local options."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.strategies.problems import (
    Federation,
    Logistic,
    Quadratic,
    drift_point,
    hospitals,
    logistic_slope,
    pooled_optimum,
    quadratics,
    same_bits,
)

from medfed.core.registry import Part, make
from medfed.core.strategy import Turn
from medfed.core.update import Update, add_updates
from medfed.strategies.fedavg import FedAvg
from medfed.strategies.fedavgm import FedAvgM
from medfed.strategies.fedprox import FedProx
from medfed.strategies.fedsgd import FedSGD
from medfed.strategies.local import LocalTraining

ZERO = {"x": np.zeros(2)}


def test_one_site_is_plain_training():
    job = hospitals()[1]
    state = Federation(FedAvg(lr=0.3, batch_size=1000, local_steps=4), [job], 5).run(
        Logistic.start()
    )
    w = Logistic.start()
    for _ in range(20):
        slopes, _ = logistic_slope(w, job.X, job.y)
        w |= {k: w[k] - 0.3 * g for k, g in slopes.items()}
    for name in job.names():
        np.testing.assert_allclose(state.model[name], w[name], rtol=1e-12, atol=1e-13)
    assert state.model["bn.count"] == 20


def test_many_local_steps_end_at_the_closed_form_of_drift():
    jobs = quadratics()
    state = Federation(FedAvg(lr=0.1, local_steps=10), jobs, 200).run(ZERO)
    np.testing.assert_allclose(state.model["x"], drift_point(jobs, 0.1, [10] * 3), atol=1e-10)
    assert np.linalg.norm(state.model["x"] - pooled_optimum(jobs)) > 0.2


def test_the_server_learning_rate_scales_what_learns_and_not_the_buffers():
    one = Federation(FedAvg(), hospitals(), 1).run(Logistic.start()).model
    two = Federation(FedAvg(server_lr=2.0), hospitals(), 1).run(Logistic.start()).model
    np.testing.assert_allclose(two["body.weight"], 2 * one["body.weight"])
    assert same_bits({"m": two["bn.mean"]}, {"m": one["bn.mean"]})


def test_counters_are_averaged_and_rounded_to_whole_numbers():
    state = Federation(FedAvg(batch_size=10), hospitals((10, 30)), 1).run(Logistic.start())
    assert state.model["bn.count"].dtype == np.int64
    assert state.model["bn.count"] == round((10 * 1 + 30 * 3) / 40)


@given(st.permutations(range(3)), st.integers(1, 9))
def test_the_order_of_sites_and_the_unit_of_weight_do_not_matter(order, times):
    jobs = hospitals()
    strategy, turn = FedAvg(), Turn(1, 1, 3)
    state = strategy.begin(Logistic.start())
    updates = [strategy.train(strategy.sent(state), {}, job, turn)[0] for job in jobs]
    scaled = [
        Update(
            {k: times * v for k, v in updates[i].tensors.items()},
            {k: times * w for k, w in updates[i].weights.items()},
        )
        for i in order
    ]
    one = strategy.step(state, add_updates(updates), turn).model
    other = strategy.step(state, add_updates(scaled), turn).model
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12, atol=1e-14)


@given(st.integers(1, 5), st.floats(0.01, 0.5))
def test_sites_with_the_same_patients_are_one_site(copies, lr):
    job = quadratics()[0]
    many = Federation(FedAvg(lr=lr, local_steps=3), [job] * copies, 2).run(ZERO).model["x"]
    one = Federation(FedAvg(lr=lr, local_steps=3), [job], 2).run(ZERO).model["x"]
    np.testing.assert_allclose(many, one, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fedprox_without_pull_is_fedavg_bit_by_bit(dtype):
    def run(strategy):
        jobs = hospitals(dtype=dtype)
        return Federation(strategy, jobs, 4).run(Logistic.start(dtype=dtype)).model

    options = {"lr": 0.2, "local_epochs": 2, "batch_size": 5, "momentum": 0.5, "l2": 0.01}
    assert same_bits(run(FedProx(mu=0.0, **options)), run(FedAvg(**options)))
    assert not same_bits(run(FedProx(mu=0.5, **options)), run(FedAvg(**options)))


def test_fedprox_ends_where_the_proximal_closed_form_says():
    jobs, mu = quadratics(), 2.0
    state = Federation(FedProx(mu=mu, lr=0.15, local_steps=90), jobs, 130).run(ZERO)
    # Solved to the end, each site goes from x to (A + µ)⁻¹(Ab + µx).
    left, right = np.zeros((2, 2)), np.zeros(2)
    for job in jobs:
        inverse = np.linalg.inv(job.A + mu * np.eye(2))
        left += job.patients * (np.eye(2) - mu * inverse)
        right += job.patients * inverse @ job.A @ job.b
    np.testing.assert_allclose(state.model["x"], np.linalg.solve(left, right), atol=1e-9)


def test_fedavgm_is_heavy_ball_on_the_pooled_quadratic():
    jobs, lr, beta = quadratics(), 0.05, 0.8
    strategy = FedAvgM(lr=lr, local_steps=1, server_momentum=beta, server_lr=0.7)
    state = Federation(strategy, jobs, 30).run(ZERO)
    x, v, n = np.zeros(2), np.zeros(2), sum(j.patients for j in jobs)
    for _ in range(30):
        v = beta * v - lr * sum(j.patients * j.A @ (x - j.b) for j in jobs) / n
        x = x + 0.7 * v
    np.testing.assert_allclose(state.model["x"], x, rtol=1e-12)


def test_fedavgm_adds_a_geometric_series_of_a_constant_change():
    strategy = FedAvgM(server_momentum=0.5)
    state, turn = strategy.begin(ZERO), Turn(1, 9, 1)
    for _ in range(3):
        state = strategy.step(state, Update({"model/x": np.ones(2)}, {"model": 1.0}), turn)
    np.testing.assert_allclose(state.model["x"], [1 + 1.5 + 1.75] * 2)
    assert state.memory.keys() == {"momentum/x"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fedsgd_is_pooled_gradient_descent(dtype):
    jobs = hospitals(dtype=dtype)
    strategy = FedSGD(lr=0.4, l2=0.02, lr_schedule="step", lr_every=10, lr_gamma=0.5)
    state = Federation(strategy, jobs, 30).run(Logistic.start(dtype=dtype))
    X, y = np.concatenate([j.X for j in jobs]), np.concatenate([j.y for j in jobs])
    w = Logistic.start()
    for number in range(30):
        lr = 0.4 * 0.5 ** (number // 10)
        slopes, _ = logistic_slope(w, X.astype(float), y.astype(float))
        w |= {k: w[k] - lr * (g + 0.02 * w[k]) for k, g in slopes.items()}
    for name in w:
        np.testing.assert_allclose(state.model[name], w[name], atol=1e-6)


def test_the_loss_reported_is_that_of_the_patients_seen():
    job = Quadratic(np.eye(2), [3.0, 4.0], patients=10)
    run = Federation(FedAvg(local_steps=1), [job], 1)
    run.run(ZERO)
    stats = run.updates[0].stats
    assert stats["train/loss_sum"] == pytest.approx(125.0)
    assert (stats["train/examples"], stats["train/steps"]) == (10, 1)


def rates(**options):
    return [LocalTraining(lr=0.8, **options).rate(Turn(r, 4, 1)) for r in (1, 2, 3, 4)]


def test_learning_rates_follow_their_schedule():
    assert rates() == [0.8] * 4
    cosine = [0.4 * (1 + np.cos(np.pi * i / 4)) for i in range(4)]
    assert rates(lr_schedule="cosine") == pytest.approx(cosine)
    assert rates(lr_schedule="step", lr_every=2, lr_gamma=0.5) == [0.8, 0.8, 0.4, 0.4]


@given(st.sampled_from(["constant", "cosine", "step"]), st.integers(0, 50), st.integers(1, 40))
def test_a_learning_rate_is_always_positive_and_never_above_the_first(schedule, number, rounds):
    rate = LocalTraining(lr=0.5, lr_schedule=schedule).rate(Turn(number, rounds, 2))
    assert 0 < rate <= 0.5


def test_options_reach_the_plan_and_each_round_has_its_own_random_stream():
    options = {
        "local_epochs": 3, "local_steps": 7, "batch_size": 5, "momentum": 0.5, "l2": 0.1, "lr": 0.2,
    }  # fmt: skip
    job = hospitals()[0]
    Federation(FedAvg(**options), [job], 2).run(Logistic.start())
    plan = job.plans[0]
    found = (plan.epochs, plan.steps, plan.batch_size, plan.momentum, plan.l2, plan.lr)
    assert found == (3, 7, 5, 0.5, 0.1, 0.2)
    assert [p.labels for p in job.plans] == [("train", 1), ("train", 2)]


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("fedavg", {"lr": 0}, "more than 0"),
        ("fedavg", {"local_steps": 0}, "1 or more"),
        ("fedavg", {"lr_schedule": "linear"}, "cosine"),
        ("fedprox", {"mu": -1}, "0 or more"),
        ("fedadam", {"beta2": 1.0}, "or less"),
        ("scaffold", {"optimizer": "adam"}, "sgd"),
        ("fednova", {"optimizer": "adam"}, "sgd"),
    ],
)
def test_options_out_of_bounds_are_refused_with_a_remedy(name, options, word):
    with pytest.raises(Exception, match="strategy") as caught:
        make("strategy", Part(name, options))
    assert word in str(caught.value)
