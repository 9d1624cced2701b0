"""Personalisation: local tensors, fine-tuning with a guard, Ditto."""

import numpy as np
import pytest
from unit.strategies.problems import Federation, Logistic, hospitals, quadratics, same_bits

from medfed.core.errors import PartError
from medfed.core.strategy import Turn
from medfed.core.update import grouped
from medfed.strategies.ditto import Ditto
from medfed.strategies.fedavg import FedAvg
from medfed.strategies.finetune import FineTune
from medfed.strategies.personal import LocalHead, LocalNorm

TURN = Turn(1, 1, 1)
BN = {"bn.shift", "bn.mean", "bn.count"}


@pytest.mark.parametrize(
    ("strategy", "local"), [(LocalNorm(), BN), (LocalHead(), {"head.bias"}),
                            (LocalHead(head_epochs=2), {"head.bias"})],
)  # fmt: skip
def test_local_tensors_never_leave(strategy, local):
    run = Federation(strategy, hospitals(), 3)
    start = Logistic.start()
    start["head.bias"] = np.asarray(0.25)
    state = run.run(start)
    names = {name.partition("/")[2] for u in run.updates for name in u.tensors}
    assert names == set(start) - local
    for name in local:
        assert state.model[name] == start[name]
        assert len({float(m[name]) for m in run.models(state)} - {float(start[name])}) > 0
    for model in run.models(state):
        assert all(np.array_equal(model[k], state.model[k]) for k in start if k not in local)
    assert strategy.personal


def test_a_site_that_joins_late_starts_from_the_initial_local_tensors():
    start = Logistic.start()
    start["head.bias"] = np.asarray(0.25)
    run = Federation(LocalHead(), hospitals(), 4, pick=lambda n: [0, 1])
    state = run.run(start)
    late = run.models(state)[2]
    assert late["head.bias"] == 0.25
    assert np.array_equal(late["body.weight"], state.model["body.weight"])


def test_a_head_of_its_own_beats_a_shared_one_where_base_rates_differ():
    rng = np.random.default_rng(1)
    jobs = [Logistic(rng.normal(0, 1, (40, 3)), (rng.random(40) < p) * 1.0) for p in (0.1, 0.9)]

    def loss(strategy):
        run = Federation(strategy, jobs, 60)
        models = run.models(run.run(Logistic.start()))
        pairs = zip(jobs, models, strict=True)
        return sum(float(j.evaluate(m, "train")["loss"]) for j, m in pairs)

    assert loss(LocalHead(lr=0.5)) < loss(FedAvg(lr=0.5)) - 10


def test_fedrep_trains_the_head_first_and_then_the_rest():
    job = hospitals()[0]
    Federation(LocalHead(head_epochs=3, local_epochs=2), [job], 1).run(Logistic.start())
    head, body = job.plans
    assert (head.trainable, head.epochs, head.labels) == (("head.bias",), 3, ("head", 1))
    assert (set(body.trainable), body.epochs) == (set(Logistic.start()) - {"head.bias"}, 2)


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("encoder.norm1.weight", True), ("LayerNorm_0/scale", True), ("bn1.running_mean", True),
        ("layer1.0.bn2.weight", True), ("model.0.conv.unit0.adn.N.weight", True),
        ("subnet.weight", False), ("model.0.conv.unit0.conv.weight", False),
    ],
)  # fmt: skip
def test_normalisation_layers_are_known_by_their_usual_names(name, stays):
    assert LocalNorm().stays(name) is stays


@pytest.mark.parametrize(
    ("strategy", "which"), [(LocalNorm(local=("norm.*",)), "no tensor"),
                            (LocalHead(local=("*",)), "every tensor"),
                            (LocalHead(local=()), "an empty list")],
)  # fmt: skip
def test_patterns_that_match_nothing_or_everything_are_refused(strategy, which):
    with pytest.raises(PartError, match=which) as caught:
        strategy.begin(Logistic.start())
    assert "bn.shift" in str(caught.value)


def finished(strategy, job, model):
    sent = grouped("model", model)
    mine = strategy.finish(sent, {}, job, TURN)
    return mine, strategy.local_model(sent, mine)


def valid_loss(job, model):
    return float(job.evaluate(model, "valid")["loss"])


def test_fine_tuning_is_kept_where_it_helps_on_held_out_patients():
    job = hospitals((60,))[0]
    job.valid = (job.X, job.y)
    mine, model = finished(FineTune(finetune_epochs=4, finetune_lr=0.3), job, Logistic.start())
    assert mine
    assert valid_loss(job, model) < valid_loss(job, Logistic.start())
    assert (job.plans[0].epochs, job.plans[0].lr) == (4, 0.3)
    assert job.plans[0].labels == ("finetune", 1)


@pytest.mark.parametrize("case", ["misled", "nobody", "nan"])
def test_fine_tuning_is_dropped_where_it_does_not_help(case):
    job = hospitals((60,))[0]
    job.valid = (job.X, 1 - job.y) if case == "misled" else None
    if case == "nan":
        job.evaluate = lambda *_: {"loss": np.asarray(np.nan)}
    mine, model = finished(FineTune(), job, Logistic.start())
    assert mine == {}
    assert same_bits(model, Logistic.start())


def test_rounds_before_fine_tuning_are_fedavg():
    tuned = Federation(FineTune(), hospitals(), 3).run(Logistic.start())
    plain = Federation(FedAvg(), hospitals(), 3).run(Logistic.start())
    assert same_bits(tuned.model, plain.model)


def test_dittos_global_model_is_fedavgs():
    ditto = Federation(Ditto(lam=1.0), hospitals(), 3).run(Logistic.start())
    plain = Federation(FedAvg(), hospitals(), 3).run(Logistic.start())
    assert same_bits(ditto.model, plain.model)


def test_ditto_without_pull_is_training_alone():
    jobs = quadratics()
    run = Federation(Ditto(lam=0.0, lr=0.1, personal_epochs=20), jobs, 60)
    models = run.models(run.run({"x": np.zeros(2)}))
    for job, model in zip(jobs, models, strict=True):
        alone = np.linalg.matrix_power(np.eye(2) - 0.1 * job.A, 20 * 60)
        np.testing.assert_allclose(model["x"], job.b - alone @ job.b, atol=1e-10)


def test_ditto_with_a_great_pull_is_the_global_model():
    jobs = quadratics()
    run = Federation(Ditto(lam=1e9, lr=0.1, local_epochs=5), jobs, 300)
    state = run.run({"x": np.zeros(2)})
    for model in run.models(state):
        np.testing.assert_allclose(model["x"], state.model["x"], atol=1e-6)


@pytest.mark.parametrize("lam", [0.1, 1.0, 50.0])
def test_dittos_personal_models_minimise_their_own_loss_plus_the_pull(lam):
    jobs = quadratics()
    run = Federation(Ditto(lam=lam, lr=0.1, local_epochs=5, personal_epochs=40), jobs, 100)
    state = run.run({"x": np.zeros(2)})
    for job, model in zip(jobs, run.models(state), strict=True):
        left = job.A + lam * np.eye(2)
        expected = np.linalg.solve(left, job.A @ job.b + lam * state.model["x"])
        np.testing.assert_allclose(model["x"], expected, atol=1e-6)
