"""The way from scans to a CPM on synthetic patients: a released model, candidates, a classifier."""

import numpy as np
import pytest

from medfed.connectors.annotated_volumes import AnnotatedVolumes
from medfed.connectors.phantom import make_phantom
from medfed.core.data import SiteData
from medfed.core.task import Execution, LocalPlan
from medfed.imaging.froc import froc
from medfed.storage.models import write_model
from medfed.tasks.detection import NoduleDetection
from medfed.tasks.segmentation import NoduleSegmentation

ONE_THREAD = Execution(threads=1, precision="fp32", device="cpu")


def trained(task, data, steps, batch_size, lr):
    """A model after some steps that become shorter, as in a run."""
    job = task.job(data, {}, 1, ONE_THREAD)
    model = task.initial(1, {})
    for turn in range(4):
        rate = lr * (1 + np.cos(np.pi * turn / 4)) / 2
        labels = ("train", turn)
        plan = LocalPlan(
            steps=steps // 4, batch_size=batch_size, optimizer="adam", lr=rate, labels=labels
        )
        model = job.train(model, plan).tensors
    return job, model


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_classifier_tells_nodules_from_what_looks_like_them(tmp_path):
    root = make_phantom(tmp_path / "data", ("north",), 12, "small", seed=11).out
    source = AnnotatedVolumes().open(root, "north", ("north",))
    who = tuple(source.patients())
    (tmp_path / "models").mkdir()
    sets = {"train": who[:7], "test": who[7:]}
    data = SiteData("north", source, sets, (tmp_path / "models",))

    options = {"filters": [8, 16, 32], "patch": 16, "precision": "fp32", "device": "cpu"}
    segmentation = NoduleSegmentation(**{**options, "filters": (8, 16, 32)})
    _, model = trained(segmentation, data, steps=160, batch_size=8, lr=0.015)
    about = {"task": {"name": "nodule-segmentation", **options}, "facts": {}}
    digest = write_model(tmp_path / "models" / "model.safetensors", model, about)

    task = NoduleDetection(
        model=digest, filters=(8, 16, 32), step_mm=3.0, distance_mm=8.0, threshold=0.3
    )
    job, model = trained(task, data, steps=120, batch_size=32, lr=0.003)
    found = task.summarise(job.evaluate(model, "test"), intervals=True)
    scans = [scan for own in job.sets["test"].patients for scan in own]
    by_chance = _chance(scans)
    by_released = froc([s.scored(s.probability, 100) for s in scans], draws=1).cpm.value
    figures = {name: round(figure.value, 3) for name, figure in found.items()}
    print(f"by chance {by_chance:.3f}, released model's own {by_released:.3f}, {figures}")
    assert found["reach"].value > 0.5
    assert found["cpm"].value > by_chance + 0.1
    assert found["cpm"].low <= found["cpm"].value <= found["cpm"].high


def _chance(scans):
    """The mean CPM of scores that know nothing."""
    rng = np.random.default_rng(0)
    draws = [[s.scored(rng.random(len(s.places)), 100) for s in scans] for _ in range(50)]
    return np.mean([froc(scored, draws=1).cpm.value for scored in draws])
