"""SCAFFOLD removes the drift that FedAvg's closed form shows."""

import numpy as np
import pytest
from unit.strategies.problems import (
    Federation,
    Logistic,
    drift_point,
    hospitals,
    pooled_optimum,
    quadratics,
)

from medfed.core.update import group
from medfed.strategies.fedavg import FedAvg
from medfed.strategies.scaffold import PATIENTS, Scaffold

ZERO = {"x": np.zeros(2)}


@pytest.mark.parametrize("patients", [(20, 20, 20), (10, 40, 25), (1, 100, 3)])
def test_it_reaches_the_pooled_optimum_where_fedavg_drifts(patients):
    jobs = quadratics(patients)
    fedavg = Federation(FedAvg(lr=0.05, local_steps=10), jobs, 400).run(ZERO).model["x"]
    scaffold = Federation(Scaffold(lr=0.05, local_steps=10), jobs, 400).run(ZERO).model["x"]
    np.testing.assert_allclose(fedavg, drift_point(jobs, 0.05, [10] * 3), atol=1e-8)
    np.testing.assert_allclose(scaffold, pooled_optimum(jobs), atol=1e-8)
    assert np.linalg.norm(fedavg - pooled_optimum(jobs)) > 1e-2


@pytest.mark.parametrize("options", [{"momentum": 0.5}, {"server_lr": 0.5}, {"l2": 0.3}])
def test_other_options_keep_the_fixed_point(options):
    jobs = quadratics()
    state = Federation(Scaffold(lr=0.03, local_steps=8, **options), jobs, 600).run(ZERO)
    l2 = options.get("l2", 0.0) * np.eye(2)
    left = sum(j.patients * (j.A + l2) for j in jobs)
    right = sum(j.patients * j.A @ j.b for j in jobs)
    np.testing.assert_allclose(state.model["x"], np.linalg.solve(left, right), atol=1e-7)


def test_with_some_sites_a_round_it_still_finds_the_optimum():
    jobs, rng = quadratics(), np.random.default_rng(0)
    draws = {n: sorted(rng.choice(3, 2, replace=False)) for n in range(1, 1501)}
    run = Federation(Scaffold(lr=0.03, local_steps=5), jobs, 1500, pick=draws.__getitem__)
    np.testing.assert_allclose(run.run(ZERO).model["x"], pooled_optimum(jobs), atol=1e-6)


def test_a_site_that_joins_late_is_taken_in():
    jobs = quadratics()
    run = Federation(
        Scaffold(lr=0.03, local_steps=5), jobs, 800, pick=lambda n: range(2 if n < 50 else 3)
    )
    np.testing.assert_allclose(run.run(ZERO).model["x"], pooled_optimum(jobs), atol=1e-7)


def test_two_rounds_are_algorithm_1_with_option_2():
    jobs, lr, k = quadratics((20, 20, 20)), 0.05, 4
    run = Federation(
        Scaffold(lr=lr, local_steps=k), jobs, 3, pick=lambda n: [[0, 1], [1, 2]][n % 2]
    )
    state = run.run(ZERO)
    x, c, ci = np.zeros(2), np.zeros(2), np.zeros((3, 2))
    for number in (1, 2, 3):
        chosen, moves, changes = [[0, 1], [1, 2]][number % 2], [], []
        for i in chosen:
            y = x
            for _ in range(k):
                y = y - lr * (jobs[i].A @ (y - jobs[i].b) - ci[i] + c)
            new = ci[i] - c + (x - y) / (k * lr)
            moves.append(y - x)
            changes.append(new - ci[i])
            ci[i] = new
        x, c = x + np.mean(moves, axis=0), c + 2 / 3 * np.mean(changes, axis=0)
    np.testing.assert_allclose(state.model["x"], x, rtol=1e-10)
    np.testing.assert_allclose(state.memory["control/x"], c, rtol=1e-10)
    np.testing.assert_allclose(run.mine[2]["control/x"], ci[2], rtol=1e-10)


def test_the_first_round_is_fedavg_and_c_stays_the_weighted_mean_of_the_sites():
    jobs = hospitals()
    run = Federation(Scaffold(batch_size=10), jobs, 1)
    state = run.run(Logistic.start())
    fedavg = Federation(FedAvg(batch_size=10), hospitals(), 1).run(Logistic.start())
    assert all(np.array_equal(state.model[k], fedavg.model[k]) for k in state.model)
    for number in range(2, 6):
        state = run.round(state, number)
    patients = [j.patients for j in jobs]
    assert float(state.memory[PATIENTS]) == sum(patients)
    for name, c in group("control", state.memory).items():
        mean = np.average([run.mine[i][f"control/{name}"] for i in range(3)], 0, patients)
        np.testing.assert_allclose(c, mean, atol=1e-12)
    assert group("control", state.memory).keys() == set(jobs[0].names())
