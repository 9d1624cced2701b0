"""FedAdagrad, FedAdam and FedYogi against algorithm 2 of Reddi et al., by hand."""

import math

import numpy as np
import pytest
from unit.strategies.problems import Federation, Logistic, hospitals

from medfed.core.strategy import Turn
from medfed.core.update import Update
from medfed.strategies.fedopt import FedAdagrad, FedAdam, FedYogi

TAU, ETA, B1, B2 = 0.1, 0.5, 0.8, 0.75
COMMON = {"server_lr": ETA, "tau": TAU, "beta1": B1}


def two_steps(strategy, first, second):
    state = strategy.begin({"x": np.array([1.0])})
    for number, delta in enumerate((first, second), 1):
        total = Update({"model/x": np.array([4.0 * delta])}, {"model": 4.0})
        state = strategy.step(state, total, Turn(number, 2, 1))
    return float(state.model["x"][0])


def adagrad(v, d):
    return v + d**2


def adam(v, d):
    return B2 * v + (1 - B2) * d**2


def yogi(v, d):
    return v - (1 - B2) * d**2 * math.copysign(1, v - d**2)


@pytest.mark.parametrize(
    ("strategy", "rule"),
    [
        (FedAdagrad(**COMMON), adagrad),
        (FedAdam(**COMMON, beta2=B2), adam),
        (FedYogi(**COMMON, beta2=B2), yogi),
    ],
)
@pytest.mark.parametrize(("first", "second"), [(0.6, -0.2), (0.6, 0.01), (-0.05, 2.0)])
def test_two_steps_are_those_of_the_paper(strategy, rule, first, second):
    m1, v1 = (1 - B1) * first, rule(TAU**2, first)
    x1 = 1.0 + ETA * m1 / (math.sqrt(v1) + TAU)
    m2, v2 = B1 * m1 + (1 - B1) * second, rule(v1, second)
    x2 = x1 + ETA * m2 / (math.sqrt(v2) + TAU)
    assert two_steps(strategy, first, second) == pytest.approx(x2, rel=1e-13)


def test_numbers_worked_out_on_paper():
    # Δ = 0.3 from v = 0.01: v = 0.01 + 0.09 = 0.1, m = 0.3; step 0.3/(√0.1 + 0.1).
    state = FedAdagrad(server_lr=1.0, tau=0.1).begin({"x": np.zeros(1)})
    total = Update({"model/x": np.array([0.3])}, {"model": 1.0})
    x = FedAdagrad(server_lr=1.0, tau=0.1).step(state, total, Turn(1, 1, 1)).model["x"]
    assert float(x[0]) == pytest.approx(0.720759220056126, rel=1e-12)


def test_buffers_are_averaged_and_not_stepped():
    jobs = hospitals()
    state = Federation(FedAdam(batch_size=1000), jobs, 1).run(Logistic.start())
    patients = [j.patients for j in jobs]
    mean = np.average([0.1 * j.X.mean() for j in jobs], weights=patients)
    assert float(state.model["bn.mean"]) == pytest.approx(mean)
    assert {k.partition("/")[0] for k in state.memory} == {"first", "second"}
    assert not any("bn.mean" in k or "bn.count" in k for k in state.memory)
