"""Scans of one patient are one unit, and a U-Net learns from clipped gradients of patients."""

import numpy as np
import pytest
import torch
from unit.tasks.volumes import ONE_THREAD, scan, site_of

from medfed.core.task import LocalPlan
from medfed.frameworks.examples import ByPatient
from medfed.frameworks.per_patient import clipped_sum
from medfed.frameworks.private import PrivateJob, Sampled
from medfed.privacy.noise import SecretRandom
from medfed.tasks.segmentation import NoduleSegmentation

SMALL = {"filters": (4, 8, 8), "patch": 8, "patches": 3, "roi": 16, "crop": False}


class Terms:
    patients, clip = 4, 0.1

    def __init__(self, noise=1.0, steps=3):
        self.how = Sampled(0.5, steps, noise)

    def sampled(self, plan):
        return self.how


@pytest.fixture(scope="module")
def job():
    scans = [scan(f"p{i}", seed=i) for i in range(5)]
    scans += [scan("p0", seed=10 + i) for i in range(4)]  # p0 came back, and back again
    return NoduleSegmentation(**SMALL).job(site_of(scans), {}, 1, ONE_THREAD)


def test_a_patient_of_many_scans_is_drawn_as_one_and_gives_as_much(job):
    train = job.sets["train"]
    assert isinstance(train, ByPatient)
    assert train.people() == 4
    images, truths = next(iter(train.of(np.arange(4), 5)))
    assert images.shape == truths.shape == (4, 3, 1, 8, 8, 8)
    assert {len(own) for own in train.own} == {1, 5}


def test_whoever_else_is_there_a_patient_moves_the_sum_by_the_clip_at_most(job):
    batch = next(iter(job.sets["train"].of(np.arange(4), 5)))
    named = dict(job.module.named_parameters())
    job.module.train()

    def sum_of(places):
        images, truths = (part[places] for part in batch)
        total = clipped_sum(job.module, named, job.learning.loss, (images, truths), 0.1)
        return torch.cat([v.flatten() for v in total.values()])

    whole = sum_of([0, 1, 2, 3])
    assert torch.linalg.vector_norm(whole) > 0.1
    for left_out in range(4):
        others = sum_of([p for p in range(4) if p != left_out])
        assert torch.linalg.vector_norm(whole - others) <= 0.1 * (1 + 1e-3)


def test_it_learns_with_noise_and_tells_no_loss(job):
    private = PrivateJob(job, Terms(), SecretRandom())
    start = {k: v.detach().numpy().copy() for k, v in job.module.state_dict().items()}
    done = private.train(start, LocalPlan(steps=9, batch_size=2, lr=0.01))
    assert (done.steps, done.loss_sum, done.examples) == (3, 0.0, 0.0)
    assert all(np.any(done.tensors[k] != start[k]) for k in start)
    assert private.patients == 4
    assert set(private.watch(start, "test")) == set(job.watch(start, "test"))


def test_the_task_leaks_nothing_else():
    assert not NoduleSegmentation(**SMALL).leaks()
