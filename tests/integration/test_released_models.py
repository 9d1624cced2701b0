"""A study that builds on a released model: sites open it from their own disks, or refuse."""

import shutil

import numpy as np
import pytest

from medfed.core.errors import MedfedError
from medfed.core.study_file import parse_study
from medfed.services.run_options import RunOptions
from medfed.services.runs import start
from medfed.storage.models import write_model
from medfed.tasks.segmentation import NoduleSegmentation

SITES = ("north", "south")
SEGMENTATION = {"filters": (4, 4, 4), "roi": 32, "patch": 8, "crop": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two hospitals with three patients each, noise with a ball in it."""
    import SimpleITK

    root = tmp_path_factory.mktemp("data") / "out"
    rng = np.random.default_rng(0)
    z, y, x = np.indices((16, 24, 24))
    for site in SITES:
        lines = ["seriesuid,coordX,coordY,coordZ,diameter_mm"]
        for who in ("one", "two", "three"):
            (root / site / who).mkdir(parents=True)
            ball = (z - 8) ** 2 + (y - 12) ** 2 + (x - 9) ** 2 <= 9
            hu = np.where(ball, 30, rng.normal(-850, 30, ball.shape)).astype(np.int16)
            for name, values in (("ct", hu), ("mask", ball.astype(np.uint8))):
                image = SimpleITK.GetImageFromArray(values)
                image.SetSpacing((2.0, 2.0, 2.0))
                SimpleITK.WriteImage(image, str(root / site / who / f"{name}.mhd"))
            lines.append(f"{who},18,24,16,12")
        (root / site / "annotations.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A network that was never trained, and marks about half of everything."""
    task = NoduleSegmentation(**SEGMENTATION)
    model = dict(task.initial(1, {}))
    model["output.bias"] = np.zeros(1, np.float32)
    options = {k: list(v) if isinstance(v, tuple) else v for k, v in SEGMENTATION.items()}
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    about = {"task": {"name": "nodule-segmentation", **options}, "facts": {}}
    return path, write_model(path, model, about)


STUDY = """
title = "Candidates"
sites = ["north", "south"]
rounds = 1
seed = 1
source = {{ name = "annotated-volumes" }}
split = {{ name = "shuffle", test = 0.3 }}
strategy = {{ name = "fedavg", local_steps = 1, batch_size = 2 }}
[task]
name = "nodule-detection"
model = "{model}"
filters = [4, 4]
cube = 8
step_mm = 4.0
per_scan = 2
distance_mm = 0.0
"""


def study_of(digest):
    return parse_study(STUDY.format(model=digest))


def test_every_hospital_opens_the_model_it_has(data, released, tmp_path):
    path, digest = released
    root = shutil.copytree(data, tmp_path / "data")
    (root / "models").mkdir()
    shutil.copy(path, root / "models" / "whatever.safetensors")
    result = start(study_of(digest), RunOptions(tmp_path / "run", data=root, threads=1))
    overall = result["metrics"]["overall"]
    assert set(overall) >= {"cpm", "reach", "loss", "sensitivity_at_1"}
    assert overall["cpm"]["low"] <= overall["cpm"]["value"] <= overall["cpm"]["high"]
    assert result["patients"] == {"overall": 2, "north": 1, "south": 1}
    assert "CPM" in (tmp_path / "run" / "model_card.md").read_text()
    assert digest in (tmp_path / "run" / "model_card.md").read_text()


def test_without_the_model_the_sites_refuse_and_say_what_to_do(data, released, tmp_path):
    with pytest.raises(MedfedError) as caught:
        start(study_of(released[1]), RunOptions(tmp_path / "run", data=data, threads=1))
    assert "missing-part" in str(caught.value)
    assert "has not released the model" in str(caught.value)
