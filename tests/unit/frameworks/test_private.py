"""Private training: one patient never moves a sum by more than the clip, and the noise is there."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from medfed.core.errors import Refused
from medfed.core.task import Execution, LocalPlan
from medfed.frameworks import per_patient
from medfed.frameworks.examples import TensorExamples
from medfed.frameworks.per_patient import clipped_sum
from medfed.frameworks.private import PrivateJob, Sampled, check_module
from medfed.frameworks.torch_job import Learning, TorchJob
from medfed.privacy.noise import SecretRandom

WIDTH = 4


def bce(module, batch):
    features, labels = batch
    return functional.binary_cross_entropy_with_logits(
        module(features)[:, 0].float(), labels, reduction="none"
    )


def deep():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 1))


@dataclass
class Terms:
    patients: int = 20
    clip: float = 1.0
    noise: float = 1.0
    rate: float = 0.5
    steps: int = 3
    paid: int = 0

    def sampled(self, plan):
        self.paid += 1
        return (
            Sampled(1.0, 1, self.noise)
            if plan is None
            else Sampled(self.rate, self.steps, self.noise)
        )


def table(rows=20, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy((scale * rng.normal(size=(rows, WIDTH))).astype(np.float32))
    return x, (x[:, 0] > 0).float()


def private(x, y, terms, build=deep, random=None):
    empty = TensorExamples(torch.zeros(0, WIDTH), torch.zeros(0))
    sets = {"train": TensorExamples(x, y), "valid": empty, "test": empty}
    learning = Learning(loss=bce, evaluate=lambda m, on: {"n": np.array([len(on)])})
    job = TorchJob("north", build(), sets, learning, 3, Execution())
    return PrivateJob(job, terms, random or SecretRandom())


def start(job):
    return {k: v.detach().numpy().copy() for k, v in job.module.state_dict().items()}


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors.values()]).double()


def dense():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(WIDTH, 6), nn.Tanh(), nn.Linear(6, 5, bias=False), nn.Linear(5, 1)
    )


class Twice(nn.Module):
    """A layer that is used twice: what went into it is not one thing."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)

    def forward(self, x):
        return self.head(torch.tanh(self.inner(torch.tanh(self.inner(x)))))


BUILDS = pytest.mark.parametrize("build", [deep, dense, Twice])


@BUILDS
def test_clipped_sum_is_the_loop_over_patients(build):
    x, y = table(12, scale=3.0)
    module = build()
    named = dict(module.named_parameters())
    got = clipped_sum(module, named, bce, (x[:, None], y[:, None]), 0.3)
    want = {k: torch.zeros_like(p) for k, p in named.items()}
    for row in range(12):
        module.zero_grad()
        bce(module, (x[row : row + 1], y[row : row + 1])).mean().backward()
        own = {k: p.grad for k, p in named.items()}
        scale = min(1.0, 0.3 / float(flat(own).norm()))
        for name in want:
            want[name] += scale * own[name]
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-6)


@BUILDS
def test_only_what_may_change_is_clipped_and_summed(build):
    x, y = table(12, scale=3.0)
    module = build()
    named = dict(list(module.named_parameters())[:1])
    got = clipped_sum(module, named, bce, (x[:, None], y[:, None]), 0.05)
    assert set(got) == set(named)
    assert float(flat(got).norm()) <= 12 * 0.05 * (1 + 1e-5)


@pytest.mark.parametrize("clip", [0.02, 1e3])
def test_both_ways_give_the_same_for_patients_of_many_rows(clip):
    x, y = table(12, scale=2.0)
    module = dense()
    named = dict(module.named_parameters())
    batch = x.view(3, 4, WIDTH), y.view(3, 4)
    by_layer = clipped_sum(module, named, bce, batch, clip)
    one_by_one = per_patient._clipped(per_patient._each(module, named, bce, batch), clip)
    for name, value in one_by_one.items():
        torch.testing.assert_close(by_layer[name], value, rtol=1e-4, atol=1e-6)


@BUILDS
def test_all_rows_of_a_patient_are_one_unit(build):
    x, y = table(12)
    module = build()
    named = dict(module.named_parameters())
    many = clipped_sum(module, named, bce, (x.view(2, 6, WIDTH), y.view(2, 6)), 0.1)
    assert float(flat(many).norm()) <= 0.2 * (1 + 1e-5), "two patients, not twelve rows"


@settings(max_examples=40)
@given(
    rows=st.integers(1, 8),
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([1e-3, 1.0, 1e4, 1e20, float("inf"), float("nan")]),
    clip=st.sampled_from([0.01, 1.0, 50.0]),
    build=st.sampled_from([deep, dense]),
)
def test_one_patient_moves_the_sum_by_no_more_than_the_clip(rows, seed, scale, clip, build):
    x, y = table(rows + 1, seed)
    x[-1] *= scale
    module = build()
    named = dict(module.named_parameters())
    with_it = clipped_sum(module, named, bce, (x[:, None], y[:, None]), clip)
    without = clipped_sum(module, named, bce, (x[:-1, None], y[:-1, None]), clip)
    assert torch.isfinite(flat(with_it)).all()
    assert float((flat(with_it) - flat(without)).norm()) <= clip * (1 + 1e-4)


@pytest.mark.parametrize("build", [dense, Twice])
def test_under_autocast_one_patient_moves_the_sum_by_no_more_than_the_clip(build):
    """A sum in bfloat16 steps by two clips here: its numbers have eight bits."""
    x, y = (part[:1].repeat_interleave(257, 0) for part in table(scale=3.0))
    module = build()
    named = dict(module.named_parameters())

    def of(many):
        with torch.autocast("cpu", torch.bfloat16):
            return clipped_sum(module, named, bce, (x[:many, None], y[:many, None]), 0.1)

    before, after = of(256), of(257)
    assert {value.dtype for value in after.values()} == {torch.float32}
    assert float(flat(before).norm()) == pytest.approx(25.6, rel=1e-3), "all are clipped"
    assert float((flat(after) - flat(before)).norm()) <= 0.1 * (1 + 1e-5)


@pytest.mark.parametrize("build", [deep, dense])
@pytest.mark.parametrize("huge", [1e26, 3e29, 1e33, 1e38])
def test_huge_weights_do_not_widen_the_clip(huge, build):
    """A coordinator that sends them must not find factors so small that rounding doubles them."""
    x, y = table(6)
    module = build()
    with torch.no_grad():
        module[-1].weight.fill_(huge)
    named = dict(module.named_parameters())
    for clip in (1e-6, 1e-3, 1.0):
        for row in range(6):
            one = slice(row, row + 1)
            found = clipped_sum(module, named, bce, (x[one, None], y[one, None]), clip)
            assert float(flat(found).norm()) <= clip * (1 + 1e-5)


def test_rows_that_cancel_out_do_not_swallow_other_patients():
    x, y = table(1)[0].abs().repeat(40, 1), torch.ones(40)
    y[-2] = 0.0
    module = nn.Sequential(nn.Linear(WIDTH, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        module[0].weight.fill_(1e14)
        module[2].weight.zero_()
        module[2].bias.zero_()
    named = dict(module.named_parameters())
    batch = x.view(20, 2, WIDTH), y.view(20, 2)
    with_it = clipped_sum(module, named, bce, batch, 1.0)
    without = clipped_sum(module, named, bce, tuple(part[:-1] for part in batch), 1.0)
    assert float(flat(without).norm()) == pytest.approx(19, rel=1e-4)
    assert float((flat(with_it) - flat(without)).norm()) <= 1 + 1e-5


def test_an_empty_draw_still_gets_noise_and_takes_its_step():
    x, y = table()
    job = private(x, y, Terms(rate=1e-12, steps=5))
    begin = start(job)
    done = job.train(begin, LocalPlan(lr=1.0))
    assert done.steps == 5
    assert (done.loss_sum, done.examples) == (0.0, 0.0)
    # Gradients are noise over rate · patients: huge, finite, and never zero.
    assert all(np.any(done.tensors[k] != begin[k]) for k in begin)


def test_the_noise_has_the_deviation_that_was_paid_for():
    x, y = table()
    terms = Terms(noise=2.0, clip=0.5, patients=20)
    job = private(x, y, terms)
    begin = start(job)
    draws = [
        flat({k: torch.from_numpy(v) for k, v in job.gradient(begin)[0].items()})
        for _ in range(300)
    ]
    deviations = torch.stack(draws).std(0)
    assert float(deviations.mean()) == pytest.approx(2.0 * 0.5 / 20, rel=0.05)
    assert terms.paid == 300


def test_denominators_are_public():
    """The same patients, another public number: exactly that much smaller."""
    x, y = table()

    class Silent(SecretRandom):
        def gaussian(self, count):
            return np.zeros(count)

    one = private(x, y, Terms(patients=20), random=Silent())
    other = private(x, y, Terms(patients=40), random=Silent())
    begin = start(one)
    a, b = one.gradient(begin)[0], other.gradient(begin)[0]
    for name in a:
        np.testing.assert_allclose(a[name], 2 * b[name], rtol=1e-5)
    assert other.patients == 40


class Known(SecretRandom):
    """No noise, and every other patient is drawn."""

    def uniform(self, count):
        return np.arange(count) % 2 * 0.9

    def gaussian(self, count):
        return np.zeros(count)


def test_training_divides_by_public_numbers_and_not_by_who_was_drawn():
    x, y = table(12, scale=3.0)  # six are drawn, where the public numbers let 10 or 20 be expected

    def step(patients):
        job = private(x, y, Terms(patients=patients, clip=0.5, steps=1), dense, Known())
        begin = start(job)
        end = job.train(begin, LocalPlan(lr=1.0)).tensors
        return {k: begin[k].astype(np.float64) - end[k] for k in begin}

    module = dense()
    named = dict(module.named_parameters())
    total = clipped_sum(module, named, bce, (x[::2, None], y[::2, None]), 0.5)
    for name, value in total.items():
        one, other = step(20)[name], step(40)[name]
        np.testing.assert_allclose(one, value / (0.5 * 20), rtol=1e-3, atol=1e-7)
        np.testing.assert_allclose(one, 2 * other, rtol=1e-3, atol=2e-7)


def test_training_with_twice_the_public_number_takes_half_the_step_exactly():
    x, y = table(12)

    def step(patients):
        terms = Terms(patients=patients, steps=1)
        job = private(x, y, terms, lambda: nn.Linear(WIDTH, 1), Known())
        zero = {k: np.zeros_like(v) for k, v in start(job).items()}
        return job.train(zero, LocalPlan(lr=1.0)).tensors  # from zero nothing is rounded away

    one, other = step(20), step(40)
    for name in one:
        assert one[name].any()
        np.testing.assert_array_equal(one[name], 2 * other[name])


def test_with_little_noise_it_is_the_plain_gradient():
    x, y = table()
    job = private(x, y, Terms(noise=1e-9, clip=1e3, patients=len(x)))
    begin = start(job)
    plain, _ = job.inner.gradient(begin, 0.1)
    noised, loss = job.gradient(begin, 0.1)
    assert loss == 0.0
    for name in plain:
        np.testing.assert_allclose(noised[name], plain[name], rtol=1e-3, atol=1e-5)


def test_patients_are_drawn_one_by_one():
    x, y = table(200)
    sizes = []

    class Counting(TensorExamples):
        def of(self, patients, seed):
            sizes.append(len(patients))
            return super().of(patients, seed)

    job = private(x, y, Terms(patients=200, rate=0.3, steps=60))
    job._train = Counting(x, y)
    job.train(start(job), LocalPlan(lr=0.01))
    assert len(set(sizes)) > 5, "Poisson sampling has batches of many sizes"
    assert np.mean(sizes) == pytest.approx(60, abs=5)


def test_each_patient_is_in_a_step_by_a_draw_of_their_own_below_the_public_chance():
    x, y = table(200)
    draws, steps = [], []

    class Noting(SecretRandom):
        def uniform(self, count):
            draws.append(super().uniform(count))
            return draws[-1]

    job = private(x, y, Terms(patients=1000, rate=0.3, steps=40), random=Noting())
    noised = job._noised
    job._noised = lambda named, drawn, noise: (steps.append(drawn), noised(named, drawn, noise))[1]
    job.train(start(job), LocalPlan(lr=0.01))
    assert [len(each) for each in draws] == [200] * 40
    for drawn, each in zip(steps, draws, strict=True):
        assert drawn.tolist() == [place for place, u in enumerate(each) if u < 0.3]


class Hidden(nn.Module):
    """A running statistic that does not call itself one."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(WIDTH, 1)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.seen += x.mean()
        return self.inner(x)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(WIDTH, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)),
        nn.Sequential(nn.Conv1d(1, 3, 3), nn.BatchNorm1d(3, track_running_stats=False)),
        nn.Sequential(nn.InstanceNorm1d(3, affine=False, track_running_stats=True)),
        nn.Sequential(Hidden()),
        nn.SyncBatchNorm(3),
    ],
)
def test_models_that_mix_patients_are_refused(module):
    with pytest.raises(Refused, match="cannot learn privately"):
        check_module(module)


class Centred(nn.Module):
    """Subtracts the mean of the batch, which is no layer and has no buffer."""

    def __init__(self, always=True, build=lambda: nn.Linear(WIDTH, 1)):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.always = build(), always

    def forward(self, x):
        return self.inner(x - x.mean(0) if self.always or self.training else x)


def zeroed():
    layer = nn.Linear(WIDTH, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


MIXING = [
    Centred,
    lambda: Centred(always=False),  # in training only
    lambda: Centred(build=zeroed),  # untrained it answers the same to all
    lambda: Centred(build=lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(WIDTH, 1))),
]


@pytest.mark.parametrize("build", MIXING)
@pytest.mark.parametrize("rows", [1, 2, 20])
def test_a_model_that_mixes_patients_by_arithmetic_is_refused(build, rows):
    x, y = table(rows)
    with pytest.raises(Refused, match="depends on who else is in the batch"):
        private(x, y, Terms(), build)


def test_without_the_trial_one_patient_would_move_the_sum_by_more_than_the_clip(monkeypatch):
    monkeypatch.setattr("medfed.frameworks.private.keeps_apart", lambda *given: True)
    x, y = table(20)
    x[-1] *= 1e4
    job = private(x, y, Terms(), Centred)
    named = dict(job.module.named_parameters())
    both = (job._noised(named, np.arange(many), 0.0) for many in (20, 19))
    assert float((flat(next(both)) - flat(next(both))).norm()) > 2.0


@pytest.mark.parametrize("training", [True, False])
def test_the_trial_leaves_the_model_and_torch_as_they_were(training):
    x, y = table()
    before = torch.get_rng_state()
    apart = nn.Sequential(nn.Linear(WIDTH, 6), nn.Dropout(0.5), nn.LayerNorm(6), nn.Linear(6, 1))
    apart.train(training)
    after = torch.get_rng_state()
    kept = {k: v.clone() for k, v in apart.state_dict().items()}
    job = private(x, y, Terms(), lambda: apart)
    assert job.module.training is training
    assert torch.equal(torch.get_rng_state(), after)
    assert not torch.equal(before, after), "building draws; the trial does not"
    for name, value in job.module.state_dict().items():
        assert torch.equal(value, kept[name])


def test_models_that_keep_patients_apart_are_taken():
    check_module(deep())
    check_module(nn.Sequential(nn.Conv3d(1, 4, 3), nn.GroupNorm(2, 4), nn.InstanceNorm3d(4)))
