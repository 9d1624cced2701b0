import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from medfed.core.data import SiteData
from medfed.core.errors import DataError, PartError, Refused
from medfed.core.task import Execution, LocalPlan
from medfed.core.update import add_stats
from medfed.tasks.patch_examples import Augmentation, PictureExamples, varied
from medfed.tasks.patch_segmentation import PatchSegmentation

ONE_THREAD = Execution(threads=1, precision="fp32", device="cpu")
TINY = {"filters": (4, 4, 4, 8, 8, 4)}
PLAN = LocalPlan(steps=2, batch_size=3, optimizer="adam", lr=0.01, labels=("train", 1))


@dataclass
class Patient:
    images: np.ndarray
    masks: np.ndarray


class Source:
    def __init__(self, cases):
        self.cases = cases

    def patients(self):
        return list(self.cases)

    def load(self, patients):
        return [self.cases[p] for p in patients]


def patient(seed, count=3, size=32):
    """Bright discs in noise."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0.1, 0.3, (count, size, size))
    y, x = np.indices((size, size))
    masks = np.zeros((count, size, size), np.uint8)
    for mask in masks:
        cy, cx = rng.uniform(8, size - 8, 2)
        mask[:] = (y - cy) ** 2 + (x - cx) ** 2 <= 25
    images[masks > 0] += 0.6
    return Patient(images.astype(np.float32), masks)


def site_of(patients, test=1, name="north"):
    cases = {f"p{i}": p for i, p in enumerate(patients)}
    who = tuple(cases)
    cut = len(who) - test
    return SiteData(name, Source(cases), {"train": who[:cut], "test": who[cut:]})


def job_of(task, patients=None, **kwargs):
    patients = patients or [patient(i) for i in range(3)]
    return task.job(site_of(patients, **kwargs), {}, 1, ONE_THREAD)


@pytest.fixture(scope="module")
def task():
    return PatchSegmentation(**TINY)


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_the_model_is_the_same_for_the_same_seed_and_begins_with_a_low_probability(task):
    assert same(task.initial(1, {}), task.initial(1, {}))
    assert not same(task.initial(1, {}), task.initial(2, {}))
    assert job_of(task).trainable() == set(task.initial(1, {}))
    assert task.describe({})["parameters"] == sum(v.size for v in task.initial(1, {}).values())
    module = task.build().eval()
    with torch.inference_mode():
        found = task.predict(module, patient(0).images)
    assert found.shape == (3, 32, 32)
    assert found.mean() < 0.3


def test_training_is_the_same_to_the_bit(task):
    start = task.initial(1, {})
    first, again = job_of(task).train(start, PLAN), job_of(task).train(start, PLAN)
    assert same(first.tensors, again.tensors)
    assert (first.steps, first.examples) == (2, 6)


def test_training_learns_bright_discs(task):
    job = job_of(task, [patient(i) for i in range(4)])
    start = task.initial(1, {})
    plan = LocalPlan(steps=80, batch_size=6, optimizer="adam", lr=0.01, labels=("train", 1))
    trained = job.train(start, plan).tensors
    before, after = (task.summarise(job.evaluate(m, "test")) for m in (start, trained))
    assert after["dice"].value > max(0.6, before["dice"].value)


def test_a_patients_patches_are_scored_together_and_patients_count_alike():
    task = PatchSegmentation(**TINY)
    model = {k: np.zeros_like(v) for k, v in task.initial(1, {}).items()}
    everything = {**model, "final_conv.bias": np.full(1, 9, np.float32)}
    few, many = patient(1), patient(2)
    many.masks[1:] = 0
    job = job_of(task, [patient(0), few, many], test=2)
    total = job.evaluate(everything, "test")
    found = task.summarise(total, intervals=True)
    expected = [2 * p.masks.sum() / (p.masks.sum() + p.masks.size) for p in (few, many)]
    assert found["dice"].value == pytest.approx(np.mean(expected))
    assert found["dice"].low is not None
    assert total["patients"] == 2
    # A disc in each of three patches, and in one of three; all are touched, pieces do not join.
    assert (total["nodules"], total["found"]) == (4, 4)
    assert total["false"] == 2


def test_patients_scored_alone_add_up_to_all_of_them(task):
    job, model = job_of(task, test=2), task.initial(1, {})
    each = job.evaluate_each(model, "test")
    assert len(each) == 2
    whole = job.evaluate(model, "test")
    for name, value in add_stats(each).items():
        assert value == pytest.approx(whole[name])
    assert job.evaluate(model, "valid") == {}


PLAIN = Augmentation(mirror=False, rotate=0, zoom=0, move=0, brightness=0, contrast=0)
WILD = Augmentation(mirror=True, rotate=180, zoom=0.3, move=0.2, brightness=0.5, contrast=0.5)


def test_a_pass_serves_every_picture_once():
    patients = [patient(i) for i in range(3)]
    batches = list(PictureExamples(patients, PLAIN).batches(np.random.default_rng(0), 4))
    assert [len(images) for images, _ in batches] == [4, 4, 1]
    images = torch.cat([images for images, _ in batches])
    truths = torch.cat([truths for _, truths in batches])
    served = sorted(float(image.double().sum()) for image in images)
    expected = sorted(float(i.astype(float).sum()) for p in patients for i in p.images)
    assert served == pytest.approx(expected)
    assert float(truths.sum()) == sum(p.masks.sum() for p in patients)


def test_pictures_and_truths_are_varied_together():
    patients = [patient(i) for i in range(3)]
    by = replace(WILD, brightness=0, contrast=0)
    for images, truths in PictureExamples(patients, by).batches(np.random.default_rng(0), 4):
        assert set(truths.unique().tolist()) <= {0.0, 1.0}
        # Between bright disc and dark ground pixels are mixed; away from the rim nothing is.
        bright = (images > 0.65).float()
        assert float((bright * (1 - truths)).sum()) <= 0.02 * float(bright.sum())
        assert float(((images < 0.32).float() * truths).sum()) <= 0.02 * float(truths.sum())


def test_mirroring_moves_pixels_and_changes_none():
    image = torch.from_numpy(patient(0).images[:1, None])
    by = replace(PLAIN, mirror=True)
    seen = {True: False, False: False}
    for seed in range(8):
        changed, _ = varied(image, image, by, np.random.default_rng(seed))
        mirrored = torch.allclose(changed, image.flip(-1), atol=1e-5)
        assert mirrored or torch.allclose(changed, image, atol=1e-5)
        seen[mirrored] = True
    assert all(seen.values())


def test_without_a_random_stream_a_pass_changes_nothing():
    patients = [patient(i) for i in range(2)]
    wild = PictureExamples(patients, WILD)
    plain = PictureExamples(patients, PLAIN)
    for (images, truths), (a, b) in zip(wild.batches(None, 4), plain.batches(None, 4), strict=True):
        assert torch.equal(images, a)
        assert torch.equal(truths, b)
    first = next(iter(plain.batches(None, 1)))[0][0, 0]
    assert np.array_equal(first.numpy(), patients[0].images[0])


def test_brightness_stays_in_the_range():
    by = replace(PLAIN, brightness=1.0, contrast=0.9)
    images, _ = next(PictureExamples([patient(0)], by).batches(np.random.default_rng(1), 9))
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert not np.allclose(images[:, 0].numpy(), patient(0).images)


def test_what_cannot_be_is_refused():
    with pytest.raises(PartError, match="cannot be used"):
        PatchSegmentation(filters=(16, 32))
    with pytest.raises(Refused, match="no training patient"):
        job_of(PatchSegmentation(**TINY), [patient(0)], test=1)
    with pytest.raises(DataError, match="do not fit"):
        job_of(PatchSegmentation(**TINY), [patient(0, size=20)], test=0)


def test_it_loads_without_torch():
    code = (
        "import sys; import medfed.tasks.patch_segmentation, medfed.connectors.patches_2d;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'monai', 'h5py')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
