"""The training loop against closed forms, NumPy formulas and scikit-learn."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional

from medfed.core.errors import Refused
from medfed.core.seeding import generator
from medfed.core.task import Execution, LocalPlan
from medfed.frameworks.examples import TensorExamples
from medfed.frameworks.optimizers import Optimizer
from medfed.frameworks.torch_job import Learning, TorchJob, initial

ROWS, WIDTH = 80, 5


def bce(module, batch):
    features, labels = batch
    return functional.binary_cross_entropy_with_logits(
        module(features)[:, 0].float(), labels, reduction="none"
    )


def count_positive(module, examples):
    scores = [module(x)[:, 0] for x, _ in examples.batches(None, 7)]
    return {"positive": np.array([float((torch.cat(scores) > 0).sum())])}


def table(seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, WIDTH)).astype(np.float32)
    y = (x @ np.linspace(-1, 1, WIDTH) + rng.normal(size=rows) > 0).astype(np.float32)
    return x, y


def linear():
    return nn.Sequential(nn.Linear(WIDTH, 1))


def deep():
    return nn.Sequential(
        nn.Linear(WIDTH, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 1)
    )


def job_of(x, y, build=linear, site="north", seed=3, execution=None, **learning):
    sets = {
        "train": TensorExamples(torch.from_numpy(x), torch.from_numpy(y), at_least=2),
        "test": TensorExamples(torch.from_numpy(x[:9]), torch.from_numpy(y[:9])),
        "valid": TensorExamples(torch.zeros(0, WIDTH), torch.zeros(0)),
    }
    return TorchJob(
        site,
        build(),
        sets,
        Learning(bce, count_positive, **learning),
        seed,
        execution or Execution(),
    )


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def numpy_gradient(x, y, w, b, l2=0.0):
    off = sigmoid(x @ w + b) - y
    return x.T @ off / len(y) + l2 * w, off.mean() + l2 * b


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_reaches_the_optimum_of_scikit_learn():
    x, y = table()
    l2 = 0.05
    ones = np.hstack([x, np.ones((ROWS, 1), np.float32)])  # the intercept is penalised too
    best = LogisticRegression(C=1 / (l2 * ROWS), fit_intercept=False, tol=1e-10).fit(ones, y)
    plan = LocalPlan(steps=600, batch_size=ROWS, lr=0.8, l2=l2)
    trained = job_of(x, y).train(initial(linear, 0), plan)
    found = np.append(trained.tensors["0.weight"][0], trained.tensors["0.bias"])
    assert trained.steps == 600
    np.testing.assert_allclose(found, best.coef_[0], atol=1e-3)


@pytest.mark.slow  # the first optimiser object of a process imports the compiler of torch
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_steps_have_the_bits_of_torch_optim(optimizer):
    plan = LocalPlan(optimizer=optimizer, lr=0.05, momentum=0.9, l2=0.01)
    ours, theirs = nn.Linear(4, 3), nn.Linear(4, 3)
    theirs.load_state_dict(ours.state_dict())
    if optimizer == "sgd":
        reference = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    else:
        reference = torch.optim.Adam(theirs.parameters(), lr=0.05, weight_decay=0.01)
    mine = Optimizer(list(ours.parameters()), plan)
    for k in range(7):
        for model in (ours, theirs):
            model.zero_grad()
            model(torch.full((2, 4), float(k))).square().sum().backward()
        reference.step()
        with torch.no_grad():
            mine.step()
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)


def test_adam_is_the_formula():
    module = nn.Linear(1, 1, bias=False)
    mine = Optimizer(list(module.parameters()), LocalPlan(optimizer="adam", lr=0.1, l2=0.5))
    weight, first, second = float(module.weight.detach()), 0.0, 0.0
    for step in range(1, 6):
        module.weight.grad = torch.full((1, 1), float(step))
        gradient = step + 0.5 * weight
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        scaled = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)) ** 0.5 + 1e-8)
        weight -= 0.1 * scaled
        with torch.no_grad():
            mine.step()
    assert float(module.weight.detach()) == pytest.approx(weight, abs=1e-5)


def test_an_unused_parameter_keeps_its_value_and_the_others_their_momentum():
    module = nn.ModuleList([nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)])
    mine = Optimizer(list(module.parameters()), LocalPlan(lr=1.0, momentum=0.5))
    before = module[1].weight.clone()
    for used in (0, 1, 0):
        module.zero_grad()
        module[used](torch.ones(1, 1)).sum().backward()
        start = module[0].weight.clone()
        with torch.no_grad():
            mine.step()
    torch.testing.assert_close(module[1].weight, before - 1.0)
    torch.testing.assert_close(module[0].weight, start - 1.5)


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("full_batch", [7, 4096])
def test_gradient_is_the_formula(l2, full_batch):
    x, y = table()
    at = initial(linear, 5)
    w, b = at["0.weight"][0].astype(float), float(at["0.bias"][0])
    gradient, loss = job_of(x, y, full_batch=full_batch).gradient(at, l2)
    expected_w, expected_b = numpy_gradient(x.astype(float), y, w, b, l2)
    z = x @ w + b
    np.testing.assert_allclose(gradient["0.weight"][0], expected_w, atol=1e-6)
    np.testing.assert_allclose(gradient["0.bias"], [expected_b], atol=1e-6)
    assert loss == pytest.approx(np.mean(np.logaddexp(0, z) - y * z), abs=1e-6)


def test_one_step_with_proximal_and_correction_by_hand():
    x, y = table()
    start = {"0.weight": np.full((1, WIDTH), 0.2, np.float32), "0.bias": np.zeros(1, np.float32)}
    anchor = {"0.weight": np.ones((1, WIDTH), np.float32), "0.bias": np.ones(1, np.float32)}
    correction = {
        "0.weight": np.full((1, WIDTH), 0.25, np.float32),
        "0.bias": np.full(1, -0.5, np.float32),
    }
    plan = LocalPlan(
        steps=1, batch_size=ROWS, lr=0.3, l2=0.1, proximal=2.0, anchor=anchor, correction=correction
    )
    trained = job_of(x, y).train(start, plan)
    w = np.full(WIDTH, 0.2)
    gradient_w, gradient_b = numpy_gradient(x.astype(float), y, w, 0.0, 0.1)
    expected_w = w - 0.3 * (gradient_w + 2.0 * (w - 1) + 0.25)
    expected_b = -0.3 * (gradient_b + 2.0 * (0 - 1) - 0.5)
    np.testing.assert_allclose(trained.tensors["0.weight"][0], expected_w, atol=1e-6)
    np.testing.assert_allclose(trained.tensors["0.bias"], [expected_b], atol=1e-6)
    z = x @ w
    assert trained.loss_sum == pytest.approx(np.sum(np.logaddexp(0, z) - y * z), rel=1e-5)
    assert trained.examples == ROWS


def test_weighted_mean_of_one_full_batch_step_is_the_pooled_step():
    x, y = table(rows=90)
    start, plan = initial(linear, 1), LocalPlan(steps=1, batch_size=1000, lr=0.5)
    pooled = job_of(x, y).train(start, plan).tensors
    parts = [(x[:20], y[:20]), (x[20:], y[20:])]
    sites = [job_of(a, b, site=s) for s, (a, b) in zip("ab", parts, strict=True)]
    for name in start:
        mean = sum(job.patients * job.train(start, plan).tensors[name] for job in sites) / 90
        np.testing.assert_allclose(mean, pooled[name], atol=1e-6)


def test_same_bits_twice_and_after_unrelated_work():
    x, y = table()
    start, plan = initial(deep, 2), LocalPlan(epochs=3, batch_size=16, optimizer="adam", lr=0.01)
    first = job_of(x, y, deep).train(start, replace(plan, labels=("train", 4)))
    busy = job_of(x, y, deep)
    other = {k: v + 1 for k, v in start.items()}
    busy.train(other, replace(plan, labels=("train", 1), trainable=("4.*",)))
    busy.gradient(other)
    busy.evaluate(other, "test")
    torch.rand(17)
    again = busy.train(start, replace(plan, labels=("train", 4)))
    assert same(first.tensors, again.tensors)
    assert first.loss_sum == again.loss_sum
    elsewhere = busy.train(start, replace(plan, labels=("train", 5)))
    assert not same(first.tensors, elsewhere.tensors)


def test_site_names_have_their_own_order_of_patients():
    x, y = table()
    plan = LocalPlan(batch_size=8, labels=("train", 1))
    one, two = (job_of(x, y, site=s).train(initial(linear, 0), plan) for s in ("a", "b"))
    assert not same(one.tensors, two.tensors)


def test_the_outside_random_stream_goes_on_undisturbed():
    x, y = table()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    job = job_of(x, y, lambda: nn.Sequential(nn.Dropout(0.5), linear()))
    torch.manual_seed(11)
    job.train({k: v.numpy() for k, v in job.module.state_dict().items()}, LocalPlan())
    assert torch.equal(torch.rand(3), expected)


def test_results_do_not_share_memory_with_the_job_or_the_start():
    x, y = table()
    job, start = job_of(x, y), initial(linear, 0)
    kept = {k: v.copy() for k, v in start.items()}
    first = job.train(start, LocalPlan())
    copy = {k: v.copy() for k, v in first.tensors.items()}
    job.train(first.tensors, LocalPlan())
    assert same(first.tensors, copy)
    assert same(start, kept)


def test_read_only_half_and_integer_tensors_are_taken():
    x, y = table()
    start = {
        k: v.astype(np.float16) if v.dtype.kind == "f" else v for k, v in initial(deep, 2).items()
    }
    start["1.num_batches_tracked"] = np.array(3.6)  # as a mean over sites comes
    for value in start.values():
        value.flags.writeable = False
    trained = job_of(x, y, deep).train(start, LocalPlan(steps=2, proximal=0.1, anchor=start))
    assert trained.tensors["1.num_batches_tracked"] == 6
    assert trained.tensors["1.num_batches_tracked"].dtype == np.int64
    assert trained.tensors["0.weight"].dtype == np.float32


def test_trainable_leaves_everything_else_alone():
    x, y = table()
    job, start = job_of(x, y, deep), initial(deep, 2)
    trained = job.train(start, LocalPlan(trainable=("4.*",), l2=0.1)).tensors
    changed = {k for k in start if not np.array_equal(start[k], trained[k])}
    assert changed == {"4.weight", "4.bias"}
    assert job.trainable() == {k for k in start if "running" not in k and "num" not in k}
    norms = job.train(start, LocalPlan(trainable=("1.*",))).tensors
    assert {k for k in start if not np.array_equal(start[k], norms[k])} == {
        k for k in start if k.startswith("1.")
    }


def test_gradient_leaves_running_statistics_and_dropout_out():
    x, y = table()
    job, at = job_of(x, y, deep), initial(deep, 2)
    one, loss = job.gradient(at)
    two, again = job_of(x, y, deep, full_batch=ROWS).gradient(at)
    assert loss == pytest.approx(again)
    assert one.keys() == job.trainable()
    for name in one:
        np.testing.assert_allclose(one[name], two[name], atol=1e-6)


@pytest.mark.parametrize(
    ("start", "plan", "name"),
    [
        ({"0.weight": np.zeros((1, WIDTH), np.float32)}, LocalPlan(), "malformed-order"),
        ({"0.weight": np.zeros((2, WIDTH), np.float32)}, LocalPlan(), "malformed-order"),
        ({"0.weight": np.array(["a"] * WIDTH)[None]}, LocalPlan(), "malformed-order"),
        (None, LocalPlan(proximal=1.0), "malformed-order"),
        (None, LocalPlan(trainable=("body.*",)), "malformed-order"),
        (None, LocalPlan(lr=1e38, l2=10.0), "not-finite"),
    ],
)
def test_refusals_have_a_public_name(start, plan, name):
    x, y = table()
    with pytest.raises(Refused) as caught:
        job_of(x, y).train(initial(linear, 0) if start is None else start, plan)
    assert caught.value.name == name


def test_a_loss_that_is_not_finite_is_refused():
    x, y = table()
    x[3, 2] = np.nan
    job, start = job_of(x, y), initial(linear, 0)
    for attempt in (lambda: job.train(start, LocalPlan()), lambda: job.gradient(start)):
        with pytest.raises(Refused) as caught:
            attempt()
        assert caught.value.name == "not-finite"


def test_steps_go_over_the_patients_again_and_stop_in_the_middle():
    x, y = table()
    trained = job_of(x, y).train(initial(linear, 0), LocalPlan(steps=12, batch_size=32))
    assert trained.steps == 12
    assert trained.examples == 4 * ROWS


def test_evaluation_sums_and_is_empty_without_patients():
    x, y = table()
    job, model = job_of(x, y), initial(linear, 0)
    expected = (x[:9] @ model["0.weight"][0] + model["0.bias"] > 0).sum()
    assert job.evaluate(model, "test")["positive"] == expected
    assert job.evaluate(model, "valid") == {}
    assert job.explain(model) == {}


def test_bf16_trains_float32_masters():
    x, y = table()
    job = job_of(x, y, execution=Execution(precision="bf16"))
    trained = job.train(initial(linear, 0), LocalPlan(epochs=2))
    exact = job_of(x, y).train(initial(linear, 0), LocalPlan(epochs=2))
    assert trained.tensors["0.weight"].dtype == np.float32
    assert not same(trained.tensors, exact.tensors)
    np.testing.assert_allclose(trained.tensors["0.weight"], exact.tensors["0.weight"], atol=0.02)


def test_looking_in_another_layout_changes_neither_figures_nor_training():
    """bfloat16 has models looked at voxel by voxel; what is trained stays as it is laid out."""
    images = np.random.default_rng(5).normal(size=(12, 1, 8, 8)).astype(np.float32)
    labels = (images.mean(axis=(1, 2, 3)) > 0).astype(np.float32)

    def convolving():
        layers = nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 3), nn.ReLU(), nn.Flatten()
        return nn.Sequential(*layers, nn.Linear(32, 1))

    def job():
        way = Execution(precision="bf16")
        return job_of(images, labels, build=convolving, execution=way)

    start, plan = initial(convolving, 3), LocalPlan(epochs=1, batch_size=4)
    busy, quiet, seen = job(), job(), []
    busy.learning = replace(busy.learning, evaluate=lambda module, on: seen.append(module) or {})
    busy.evaluate(start, "test")
    assert seen[0][2].weight.stride()[1] == 1
    assert busy.module[2].weight.is_contiguous()
    for name, value in seen[0].state_dict().items():
        assert np.array_equal(value.numpy(), start[name])
    assert same(busy.train(start, plan).tensors, quiet.train(start, plan).tensors)


def test_float32_is_looked_at_by_the_module_that_learns():
    x, y = table()
    job, seen = job_of(x, y), []
    job.learning = replace(job.learning, evaluate=lambda module, on: seen.append(module) or {})
    job.evaluate(initial(linear, 0), "test")
    assert seen[0] is job.module


def test_threads_are_those_of_the_execution():
    x, y = table()
    job_of(x, y, execution=Execution(threads=2)).train(initial(linear, 0), LocalPlan())
    assert torch.get_num_threads() == 2
    job_of(x, y).evaluate(initial(linear, 0), "test")
    assert torch.get_num_threads() == 1


def test_initial_depends_on_the_seed_only():
    torch.rand(5)
    assert same(initial(deep, 7), initial(deep, 7))
    assert not same(initial(deep, 7), initial(deep, 8))


def test_batches_are_complete_shuffled_and_never_too_small():
    rows = torch.arange(33.0)[:, None]
    examples = TensorExamples(rows, rows[:, 0], at_least=2)
    plain = [x[:, 0] for x, _ in examples.batches(None, 16)]
    assert [len(batch) for batch in plain] == [16, 17]
    assert torch.equal(torch.cat(plain), rows[:, 0])
    mixed = torch.cat([y for _, y in examples.batches(generator(0, "x"), 16)])
    assert not torch.equal(mixed, rows[:, 0])
    assert torch.equal(mixed.sort().values, rows[:, 0])


@pytest.mark.slow
def test_training_does_not_import_the_compiler_of_torch():
    code = """
import sys, numpy as np, torch
from torch import nn
from medfed.core.task import Execution, LocalPlan
from medfed.frameworks.examples import TensorExamples
from medfed.frameworks.torch_job import Learning, TorchJob, initial
build = lambda: nn.Linear(2, 1)
train = TensorExamples(torch.ones(4, 2), torch.ones(4))
learning = Learning(lambda m, b: (m(b[0])[:, 0] - b[1]) ** 2, lambda m, e: {})
job = TorchJob("a", build(), {"train": train}, learning, 0, Execution())
for rule in ("sgd", "adam"):
    job.train(initial(build, 0), LocalPlan(optimizer=rule, momentum=0.5))
job.evaluate(initial(build, 0), "train")
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
