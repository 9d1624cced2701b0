import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from unit.tasks.volumes import Scan, Source

from medfed.core.data import SiteData
from medfed.core.errors import DataError, PartError, Refused
from medfed.core.task import Execution, LocalPlan
from medfed.core.update import add_stats
from medfed.imaging.froc import Finding
from medfed.imaging.geometry import Volume
from medfed.inference import NodulePredictor
from medfed.inference.predictor import Rules
from medfed.storage.models import write_model
from medfed.tasks.detection import NoduleDetection, scores
from medfed.tasks.detection_cases import cubes, findings_of
from medfed.tasks.detection_predictor import Judge
from medfed.tasks.detection_released import open_released
from medfed.tasks.segmentation import NoduleSegmentation
from medfed.tasks.segmentation_predictor import loaded

ONE_THREAD = Execution(threads=1, precision="fp32", device="cpu")
SEGMENTATION = {"filters": (4, 8, 8), "patch": 8, "patches": 4, "roi": 16, "crop": False}
TINY = {"filters": (4, 8), "cube": 8, "step_mm": 2.0, "per_scan": 4}
TINY |= {"distance_mm": 4.0, "threshold": 0.9}
SPACING, ORIGIN = (2.0, 1.6, 1.6), (-40.0, 12.0, 7.0)


def chest(patient, seed, nodules=1, rods=2):
    """Balls, which are nodules, and rods as bright as they are, which are none."""
    rng = np.random.default_rng(seed)
    shape = (24, 32, 32)
    hu = rng.normal(-850, 30, shape)
    mask = np.zeros(shape, np.uint8)
    z, y, x = np.indices(shape)
    places = [(6, 8, 8), (6, 24, 22), (18, 8, 24), (18, 24, 8)]
    order = rng.permutation(len(places))
    for number in range(nodules + rods):
        cz, cy, cx = places[order[number]] + rng.integers(-1, 2, 3)
        if number < nodules:
            inside = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= 9
            mask[inside] = 1
        else:
            inside = ((y - cy) ** 2 + (x - cx) ** 2 <= 4) & (abs(z - cz) <= 5)
        hu[inside] = 0
    return Scan(patient, hu.astype(np.int16), mask, SPACING, ORIGIN)


def site_of(scans, models, test=1, name="north"):
    source = Source(scans)
    who = source.patients()
    cut = len(who) - test
    sets = {"train": tuple(who[:cut]), "test": tuple(who[cut:])}
    return SiteData(name, source, sets, (models,))


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A folder with a model trained on balls and nothing else: it marks rods, too."""
    from unit.tasks.volumes import site_of as plain_site

    folder = tmp_path_factory.mktemp("models")
    task = NoduleSegmentation(**SEGMENTATION)
    options = {k: list(v) if isinstance(v, tuple) else v for k, v in SEGMENTATION.items()}
    about = {"task": {"name": "nodule-segmentation", **options}, "facts": {}}
    scans = [chest(f"s{i}", 100 + i, nodules=2, rods=0) for i in range(4)]
    job = task.job(plain_site(scans), {}, 1, ONE_THREAD)
    plan = LocalPlan(steps=60, batch_size=4, optimizer="adam", lr=0.01, labels=("train", 1))
    model = job.train(task.initial(1, {}), plan).tensors
    digest = write_model(folder / "any-name.safetensors", model, about)
    return folder, digest


def task_of(released, **changes):
    return NoduleDetection(model=released[1], **{**TINY, **changes})


def job_of(task, released, scans=None, **kwargs):
    scans = scans or [chest(f"p{i}", i) for i in range(4)]
    return task.job(site_of(scans, released[0], **kwargs), {}, 1, ONE_THREAD)


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


PLAN = LocalPlan(steps=3, batch_size=4, optimizer="adam", lr=0.01, labels=("train", 1))


def test_candidates_are_nodules_and_what_looks_like_them(released):
    task = task_of(released)
    scans = [chest(f"p{i}", i) for i in range(4)]
    predictor = open_released(released[1], [released[0]], "north").predictor(ONE_THREAD)
    looked = [scan for own in task.examples(scans, predictor).patients for scan in own]
    assert sum(int(one.on_nodule.sum()) for one in looked) >= 3
    assert sum(int((~one.on_nodule).sum()) for one in looked) >= 3
    for one in looked:
        assert one.cubes.shape == (len(one.places), 10, 10, 10)
        assert one.cubes.dtype == np.int16
        middle = one.cubes[:, 4:6, 4:6, 4:6].reshape(len(one.places), -1)
        assert (middle.max(axis=1) > -300).all()  # something bright lies in the middle


def test_training_tells_balls_from_rods(released):
    task = task_of(released)
    scans = [chest(f"p{i}", i) for i in range(8)]
    job = job_of(task, released, scans, test=3)
    start = task.initial(1, {})
    plan = LocalPlan(steps=40, batch_size=8, optimizer="adam", lr=0.01, labels=("train", 1))
    trained = job.train(start, plan).tensors
    before, after = (task.summarise(job.evaluate(m, "test")) for m in (start, trained))
    assert after["loss"].value < 0.5 * before["loss"].value
    assert after["cpm"].value == pytest.approx(after["reach"].value)
    assert after["reach"].value == before["reach"].value > 0.5


def test_training_is_the_same_to_the_bit(released):
    task = task_of(released)
    start = task.initial(1, {})
    first, again = (job_of(task, released).train(start, PLAN) for _ in range(2))
    assert same(first.tensors, again.tensors)
    assert (first.steps, first.examples) == (3, 12)
    assert job_of(task, released).trainable() == set(start)


def test_the_figures_are_those_of_the_places_and_scores(released):
    task = task_of(released)
    scans = [chest(f"p{i}", i) for i in range(4)]
    job, model = job_of(task, released, scans, test=2), task.initial(3, {})
    total = job.evaluate(model, "test")
    assert (total["nodules"], total["scans"], total["patients"]) == (2, 2, 2)
    marked = int(total["candidates"][0])
    assert marked == len(job.sets["test"].patients[0][0].places) + len(
        job.sets["test"].patients[1][0].places
    )
    assert total["hits"].sum() + total["false"].sum() <= marked
    found = task.summarise(total, intervals=True)
    assert found["cpm"].low <= found["cpm"].value <= found["cpm"].high


def test_patients_scored_alone_add_up_and_are_not_drawn_again(released):
    task = task_of(released)
    scans = [chest("a", 1), chest("b", 2), chest("c", 3), chest("c", 4)]
    job, model = job_of(task, released, scans, test=2), task.initial(1, {})
    each, whole = job.evaluate_each(model, "test"), job.evaluate(model, "test")
    assert [float(one["scans"][0]) for one in each] == [1, 2]
    alone = add_stats(each)
    assert set(whole) - set(alone) == {n for n in whole if n.startswith("drawn_")} != set()
    for name, value in alone.items():
        assert value == pytest.approx(whole[name])
    assert same(job.watch(model, "test"), {n: whole[n] for n in alone})
    assert job.evaluate(model, "valid") == {}


def test_the_released_model_looks_at_each_scan_once(released):
    task = task_of(released)
    scans = [chest(f"p{i}", i) for i in range(3)]
    job, model = job_of(task, released, scans), task.initial(1, {})
    assert [s.read for s in scans] == [1, 1, 0]
    for _ in range(2):
        job.train(model, PLAN)
        job.evaluate(model, "test")
    assert [s.read for s in scans] == [1, 1, 1]


def test_a_site_that_has_not_released_the_model_refuses(released, tmp_path):
    task = task_of(released)
    scans = [chest("a", 1), chest("b", 2)]
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(Refused, match="has not released the model") as caught:
            task.job(site_of(scans, folder), {}, 1, ONE_THREAD)
        assert caught.value.name == "missing-part"
        assert "folder models" in caught.value.remedy
    changed = bytearray((released[0] / "any-name.safetensors").read_bytes())
    changed[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(changed)
    with pytest.raises(Refused, match="has not released"):
        open_released(released[1], [tmp_path], "north")


def test_only_a_model_that_marks_scans_will_do(tmp_path):
    tensors = {"w": np.zeros(1, np.float32)}
    table = {"task": {"name": "tabular-classification", "target": "y", "numeric": ["x"]}}
    other = write_model(tmp_path / "table.safetensors", tensors, table)
    with pytest.raises(Refused, match="marks nothing in scans"):
        open_released(other, [tmp_path], "north")
    unknown = write_model(tmp_path / "new.safetensors", tensors, {"task": {"name": "newer"}})
    with pytest.raises(Refused, match="does not know"):
        open_released(unknown, [tmp_path], "north")
    (tmp_path / "plain.safetensors").write_bytes(b"not a model")
    digest = hashlib.sha256(b"not a model").hexdigest()
    with pytest.raises(DataError, match="no model that medfed wrote"):
        open_released(digest, [tmp_path], "north")


def test_a_site_where_nothing_is_marked_refuses(released):
    task = task_of(released)
    empty = [chest(f"p{i}", i, nodules=0, rods=0) for i in range(3)]
    with pytest.raises(Refused, match="marks nothing in the training scans"):
        job_of(task, released, empty)
    with pytest.raises(Refused, match="no training patient"):
        job_of(task, released, [chest("a", 1)], test=1)


def test_cubes_lie_where_they_should_and_air_is_around_the_scan():
    hu = np.zeros((10, 12, 14), np.int16)
    hu[4, 5, 6] = 1000
    volume = Volume(hu, (2.0, 1.0, 1.0), (100.0, -50.0, 30.0))
    place = volume.geometry.to_world([[4, 5, 6], [0, 0, 0], [400, 5, 6]])
    found = cubes(volume, place, edge=5, step_mm=1.0)
    assert found[0, 2, 2, 2] == 1000
    assert found[0, 1, 2, 2] == 500  # half a voxel away along z
    assert found[0, 2, 1, 2] == 0
    assert (found[1, :2] == -1024).all()
    assert found[1, 2, 2, 2] == 0
    assert (found[2] == -1024).all()


def test_a_mask_without_annotations_gives_a_nodule_for_each_piece():
    scan = chest("a", 5, nodules=2, rods=1)
    grid = scan.volume().geometry
    found = findings_of(scan, grid)
    assert len(found) == 2
    volume = scan.truth.sum() * np.prod(SPACING)
    assert sum(np.pi / 6 * f.diameter_mm**3 for f in found) == pytest.approx(volume)
    for one in found:
        z, y, x = np.rint(grid.to_index(one.centre_mm)).astype(int)
        assert scan.truth[z, y, x]


class Annotated(Scan):
    def findings(self):
        return self.known


def test_annotations_come_before_the_mask_and_irrelevant_findings_teach_nothing(released):
    task = task_of(released)
    plain = [chest(f"p{i}", i) for i in range(3)]
    predictor = open_released(released[1], [released[0]], "north").predictor(ONE_THREAD)
    (marked,) = task.examples(plain[:1], predictor).patients[0]
    scans = []
    for one in plain:
        scan = Annotated(one.patient, one.hu, one.truth * 0, SPACING, ORIGIN)
        scan.known = ()
        scans.append(scan)
    scans[0].known = tuple(
        Finding(tuple(place), 4.0, relevant=bool(number == 0))
        for number, place in enumerate(marked.places.tolist())
    )
    (looked,) = task.examples(scans[:1], predictor).patients[0]
    assert looked.on_nodule.tolist() == [True] + [False] * (len(marked.places) - 1)
    assert looked.irrelevant.tolist() == [False] + [True] * (len(marked.places) - 1)
    scored = looked.scored(np.arange(len(looked.places)), 100)
    assert (scored.hits, scored.false, scored.nodules) == ((0.0,), (), 1)
    assert scored.ignored == len(marked.places) - 1
    served = list(task.examples(scans[:1], predictor).batches(None, 64))
    assert torch.cat([labels for _, labels in served]).tolist() == [1.0] * 4


def test_without_a_random_stream_a_pass_is_always_the_same_and_in_the_middle(released):
    task = task_of(released)
    predictor = open_released(released[1], [released[0]], "north").predictor(ONE_THREAD)
    examples = task.examples([chest("a", 1), chest("b", 2)], predictor)
    first, again = (list(examples.batches(None, 3)) for _ in range(2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    seen = np.concatenate([examples.seen(scan) for own in examples.patients for scan in own])
    for image in torch.cat([images for images, _ in first]).numpy()[:, 0]:
        assert any(np.array_equal(image, cube) for cube in seen)
    with torch.inference_mode():
        none = scores(task.build().eval(), examples, _without_places(examples.patients[0][0]))
    assert none.shape == (0,)


def _without_places(looked):
    from dataclasses import replace

    return replace(looked, places=looked.places[:0], cubes=looked.cubes[:0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "abc"}, "no SHA-256"),
        ({"model": "0" * 64, "filters": (6,)}, "do not make a network"),
        ({"model": "0" * 64, "cube": 10}, "multiple of 4"),
        ({"model": "0" * 64, "window_hu": (1.0, 0.0)}, "no window"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(PartError, match="cannot be used") as caught:
        NoduleDetection(**options)
    assert message in str(caught.value)


def test_the_card_says_which_model_marks_the_candidates():
    about = NoduleDetection(model="0" * 64).describe({})
    assert "0" * 64 in about["candidates"]
    assert about["parameters"] > 0


@pytest.fixture(scope="module")
def classifier(released):
    """A trained task, its job and its model."""
    task = task_of(released)
    job = job_of(task, released, [chest(f"p{i}", i) for i in range(8)], test=3)
    plan = LocalPlan(steps=40, batch_size=8, optimizer="adam", lr=0.01, labels=("train", 1))
    return task, job, job.train(task.initial(1, {}), plan).tensors


def looking(classifier, folders, **kwargs):
    task, _, model = classifier
    options = {**TINY, "filters": list(TINY["filters"]), "model": task.model}
    about = {"study": "ab" * 32, "task": {"name": "nodule-detection", **options}, "facts": {}}
    return NodulePredictor(model, about, "cd" * 32, ONE_THREAD, folders=folders, **kwargs)


def test_a_scan_is_judged_as_those_of_the_study_were(classifier):
    task, job, model = classifier
    (scan,) = job.sets["test"].patients[0]
    module = loaded(task.build(), model).eval()
    with torch.inference_mode():
        logits = scores(module, job.sets["test"], scan)
    volume = chest("p5", 5).volume()  # the first of three test patients
    assert Judge(task, model)(volume, scan.places) == pytest.approx(1 / (1 + np.exp(-logits)))


def test_what_the_classifier_takes_for_no_nodule_is_left_out(classifier, released):
    volume = chest("p7", 7).volume()
    every = looking(classifier, [released[0]], rules=Rules(least_score=0.0)).predict(volume)
    kept = looking(classifier, [released[0]]).predict(volume)
    sure = [f.score for f in every.findings if f.score >= 0.5]
    assert [f.score for f in kept.findings] == sure == sorted(sure, reverse=True)
    assert 0 < len(sure) < len(every.findings)
    assert kept.threshold == TINY["threshold"]
    (note,) = [note for note in kept.notes if "second model" in note]
    assert f"of the {len(every.findings)} places" in note
    assert not [note for note in every.notes if "second model" in note]
    found = every.findings[0]
    (ball,) = findings_of(chest("p7", 7), volume.geometry)
    assert np.linalg.norm(np.subtract(found.centre_mm, ball.centre_mm)) < ball.radius_mm


def test_the_model_that_marks_must_be_at_hand(classifier, tmp_path):
    with pytest.raises(DataError, match="judges what another one marks") as error:
        looking(classifier, [tmp_path])
    assert str(tmp_path) in error.value.message
    assert "model.safetensors" in error.value.remedy


def test_it_loads_without_torch():
    code = (
        "import sys; import medfed.tasks.detection, medfed.connectors.annotated_volumes;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'monai', 'SimpleITK')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
