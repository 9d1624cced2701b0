"""FedNova removes the inconsistency that unequal numbers of steps bring."""

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
    pooled_optimum,
)

from medfed.strategies.fedavg import FedAvg
from medfed.strategies.fednova import FedNova
from medfed.strategies.fedprox import FedProx
from medfed.strategies.local import accumulated

ZERO = {"x": np.zeros(2)}
FACTORS = (1, 8, 3)


def uneven():
    """Sites of one curvature that take 1, 8 and 3 times as many steps."""
    curvature = np.diag([2.0, 1.0])
    optima = ([1.0, -2.0], [-3.0, 1.0], [0.0, 4.0])
    return [
        Quadratic(curvature, b, n, epochs_factor=f)
        for b, n, f in zip(optima, (10, 40, 25), FACTORS, strict=True)
    ]


@pytest.mark.parametrize("options", [{}, {"momentum": 0.6}, {"mu": 0.5}])
def test_it_goes_to_the_pooled_optimum_where_fedavg_follows_the_busiest(options):
    jobs, lr = uneven(), 0.002
    kin = FedProx if "mu" in options else FedAvg
    averaged = Federation(kin(lr=lr, local_epochs=3, **options), jobs, 500).run(ZERO).model["x"]
    nova = Federation(FedNova(lr=lr, local_epochs=3, **options), jobs, 500).run(ZERO).model["x"]
    best = pooled_optimum(jobs)
    # What is left is of the order of the learning rate: FedNova mends the weights of sites.
    assert np.linalg.norm(nova - best) < 0.08
    assert np.linalg.norm(averaged - best) > 0.5


def test_fedavg_is_biased_as_its_closed_form_says():
    jobs = uneven()
    state = Federation(FedAvg(lr=0.05, local_epochs=3), jobs, 300).run(ZERO)
    expected = drift_point(jobs, 0.05, [3 * f for f in FACTORS])
    np.testing.assert_allclose(state.model["x"], expected, atol=1e-10)


def test_one_round_is_equation_6():
    jobs, lr = uneven(), 0.05
    state = Federation(FedNova(lr=lr, local_epochs=2), jobs, 1).run(ZERO)
    n, steps = sum(j.patients for j in jobs), [2 * f for f in FACTORS]
    effective = sum(j.patients / n * t for j, t in zip(jobs, steps, strict=True))
    x = np.zeros(2)
    for job, t in zip(jobs, steps, strict=True):
        y = job.b - np.linalg.matrix_power(np.eye(2) - lr * job.A, t) @ job.b
        x += effective * job.patients / n * y / t
    np.testing.assert_allclose(state.model["x"], x, rtol=1e-12)


@pytest.mark.parametrize(("mu", "kin"), [(0.0, FedAvg()), (0.3, FedProx(mu=0.3))])
def test_equal_steps_give_fedavg_and_fedprox(mu, kin):
    jobs = hospitals((20, 20, 20))
    nova = Federation(FedNova(mu=mu), jobs, 3).run(Logistic.start()).model
    plain = Federation(kin, jobs, 3).run(Logistic.start()).model
    for name in nova:
        np.testing.assert_allclose(nova[name], plain[name], rtol=1e-10)


@given(st.integers(0, 60), st.floats(0.05, 0.95), st.floats(0.01, 0.9))
def test_gradients_weigh_what_the_paper_says(steps, rho, alpha):
    assert accumulated(steps) == steps
    momentum = (steps - rho * (1 - rho**steps) / (1 - rho)) / (1 - rho)
    assert accumulated(steps, rho) == pytest.approx(momentum, rel=1e-9, abs=1e-9)
    proximal = (1 - (1 - alpha) ** steps) / alpha
    assert accumulated(steps, 0.0, alpha) == pytest.approx(proximal, rel=1e-9)


@given(st.integers(1, 20), st.floats(0.0, 0.9), st.floats(0.0, 3.0))
def test_momentum_and_pull_together_weigh_what_an_optimiser_does(steps, rho, mu):
    flat = Quadratic(np.zeros((1, 1)), [0.0])
    flat.slope = lambda w, rows: ({"x": np.ones(1)}, 0.0)
    plan = FedNova(lr=0.1, local_steps=steps, momentum=rho, mu=mu)
    run = Federation(plan, [flat], 1)
    # A constant gradient of 1: the normalised change is −η whatever the optimiser.
    run.run({"x": np.zeros(1)})
    assert float(run.updates[0].tensors["model/x"][0]) == pytest.approx(-0.1 * flat.patients)
