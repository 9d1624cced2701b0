import subprocess
import sys

import numpy as np
import pytest
import torch
from unit.tasks.volumes import ONE_THREAD, scan, site_of

from medfed.core.errors import PartError, Refused
from medfed.core.strategy import Turn
from medfed.core.task import Execution, LocalPlan
from medfed.core.update import add_stats
from medfed.strategies.personal import LocalNorm
from medfed.tasks.augmentation import Augmentation
from medfed.tasks.patches import PatchExamples, Sampling, scaled
from medfed.tasks.segmentation import NoduleSegmentation, dice_focal
from medfed.tasks.segmentation_cases import Cases, prepare

SMALL = {"filters": (4, 8, 8), "patch": 8, "patches": 2, "roi": 16, "crop": False}
PLAN = LocalPlan(steps=3, batch_size=2, optimizer="adam", lr=0.01, labels=("train", 1))


@pytest.fixture(scope="module")
def task():
    return NoduleSegmentation(**SMALL)


def job_of(task, scans=None, **kwargs):
    scans = scans or [scan(f"p{i}", seed=i) for i in range(3)]
    return task.job(site_of(scans, **kwargs), {}, 1, ONE_THREAD)


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_the_model_is_the_same_for_the_same_seed_and_has_three_levels(task):
    assert same(task.initial(1, {}), task.initial(1, {}))
    assert not same(task.initial(1, {}), task.initial(2, {}))
    assert task.describe({})["parameters"] == sum(v.size for v in task.initial(1, {}).values())
    full = NoduleSegmentation().describe({})
    assert full["parameters"] == pytest.approx(1.40e6, rel=0.01)


def test_there_are_no_running_statistics_to_average(task):
    assert job_of(task).trainable() == set(task.initial(1, {}))


def test_the_loss_is_one_value_a_patch_and_right(task):
    truths = torch.zeros(3, 1, 2, 2, 2)
    truths[0, 0, 0] = 1
    truths[1] = 1
    logits = torch.full_like(truths, -20.0)
    logits[truths > 0] = 20.0
    logits[2] = 0.0  # a half everywhere, where nothing is
    values = dice_focal(1.0)(logits, truths)
    assert values.shape == (3,)
    assert values[:2].tolist() == pytest.approx([0, 0], abs=1e-4)
    # Nothing to find: the Dice loss is 1 and flat, the focal loss of a half is (1/2)² · ln 2.
    assert float(values[2]) == pytest.approx(1 + 0.25 * np.log(2), rel=1e-4)


def test_a_patch_without_a_nodule_teaches_by_the_focal_loss_alone():
    logits = torch.zeros(1, 1, 4, 4, 4, requires_grad=True)
    dice_focal(0.0)(logits, torch.zeros(1, 1, 4, 4, 4)).sum().backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_dice_loss_of_half_a_nodule():
    truths = torch.zeros(1, 1, 20, 20, 20)
    truths[0, 0, :10] = 1
    logits = torch.full_like(truths, -20.0)
    logits[0, 0, :5] = 20.0
    assert float(dice_focal(0.0)(logits, truths)) == pytest.approx(1 - 2 / 3, abs=5e-3)


def test_training_is_the_same_to_the_bit(task):
    start = task.initial(1, {})
    first, again = job_of(task).train(start, PLAN), job_of(task).train(start, PLAN)
    assert same(first.tensors, again.tensors)
    assert (first.steps, first.examples, first.loss_sum) == (3, 6, again.loss_sum)
    other = job_of(task).train(start, LocalPlan(**{**vars_of(PLAN), "labels": ("train", 2)}))
    assert not same(first.tensors, other.tensors)


def test_training_in_another_layout_is_the_same_up_to_rounding(task):
    start = task.initial(1, {})
    scans = [scan(f"p{i}", seed=i) for i in range(3)]
    last = task.job(site_of(scans), {}, 1, Execution(1, "fp32", "cpu", "channels_last"))
    trained, plain = last.train(start, PLAN).tensors, job_of(task).train(start, PLAN).tensors
    for name, value in trained.items():
        assert value.flags.c_contiguous
        assert value == pytest.approx(plain[name], abs=1e-3)
    again = task.job(site_of(scans), {}, 1, Execution(1, "fp32", "cpu", "channels_last"))
    assert same(again.train(start, PLAN).tensors, trained)
    assert last.gradient(start)[0]["encoder.0.conv1.conv.weight"].flags.c_contiguous
    given = last.predict(start, last.cases("test")[0])
    assert given == pytest.approx(job_of(task).predict(start, last.cases("test")[0]), abs=1e-4)


def test_local_norm_keeps_the_group_norms_and_nothing_else(task):
    strategy = LocalNorm()
    model = task.initial(1, {})
    norms = {
        f"{where}.{which}"
        for where, module in task.build().named_modules()
        if isinstance(module, torch.nn.GroupNorm)
        for which in ("weight", "bias")
    }
    assert {name for name in model if strategy.stays(name)} == norms
    sent = strategy.sent(strategy.begin(model))
    update, mine = strategy.train(sent, {}, job_of(task), Turn(1, 2, 3))
    assert {name.partition("/")[2] for name in mine} == norms
    assert {name.partition("/")[2] for name in update.tensors} == set(model) - norms
    assert any(not np.array_equal(mine[f"local/{name}"], model[name]) for name in norms)


def test_the_execution_is_measured_once_and_the_study_may_choose(task):
    first, again = task.execution(), NoduleSegmentation(**SMALL).execution()
    assert first == again
    assert first.device == ("cuda" if torch.cuda.is_available() else "cpu")
    plain = NoduleSegmentation(**SMALL, device="cpu", precision="fp32").execution()
    assert (plain.device, plain.precision) == ("cpu", "fp32")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_site_without_a_gpu_refuses_a_run_on_gpus(task):
    with pytest.raises(Refused, match="GPU"):
        task.job(site_of([scan("a"), scan("b")]), {}, 1, Execution(1, "bf16", "cuda"))


def vars_of(plan):
    return {name: getattr(plan, name) for name in plan.__slots__}


def test_a_small_cache_changes_nothing_but_what_is_read(task):
    scans = [scan(f"p{i}", seed=i) for i in range(4)]
    start = task.initial(1, {})
    whole = job_of(task, scans).train(start, PLAN)
    tiny = job_of(NoduleSegmentation(**SMALL, cache_mb=1), scans)
    for name in ("train", "test"):
        tiny.cases(name).keep = 1  # a byte: one scan at a time
    before = sum(s.read for s in scans)
    assert same(tiny.train(start, PLAN).tensors, whole.tensors)
    assert sum(s.read for s in scans) > before + 3


def test_training_learns_a_bright_ball(task):
    job = job_of(task, [scan(f"p{i}", seed=i) for i in range(4)])
    start = task.initial(1, {})
    plan = LocalPlan(steps=60, batch_size=4, optimizer="adam", lr=0.01, labels=("train", 1))
    trained = job.train(start, plan).tensors
    before, after = (task.summarise(job.evaluate(m, "test")) for m in (start, trained))
    assert after["dice"].value > max(0.5, before["dice"].value)


def test_one_window_is_the_plain_network():
    task = NoduleSegmentation(**{**SMALL, "roi": 32})
    job = job_of(task, [scan(f"p{i}", shape=(20, 24, 16)) for i in range(2)])
    case, model = job.cases("test")[0], task.initial(3, {})
    direct = task.build().eval()
    direct.load_state_dict({name: torch.tensor(value) for name, value in model.items()})
    with torch.inference_mode():
        image = torch.from_numpy(scaled(case.hu.astype(np.float32), (-1000.0, 400.0)))
        expected = direct(image[None, None]).sigmoid()[0, 0].numpy()
    assert job.predict(model, case) == pytest.approx(expected, abs=1e-5)


def test_several_windows_cover_everything(task):
    case = job_of(task).cases("test")[0]
    found = job_of(task).predict(task.initial(1, {}), case)
    assert found.shape == case.hu.shape
    assert ((found > 0) & (found < 1)).all()


def test_patients_scored_alone_add_up_to_all_of_them(task):
    scans = [scan("a"), scan("b"), scan("c"), scan("c", centre=(4, 4, 4))]
    job, model = job_of(task, scans, test=2), task.initial(1, {})
    whole, each = job.evaluate(model, "test"), job.evaluate_each(model, "test")
    assert len(each) == 2
    for name, value in add_stats(each).items():
        assert value == pytest.approx(whole[name])
    assert job.evaluate(model, "valid") == {}


def test_rounds_are_scored_on_the_same_windows_half_of_them_on_the_nodule():
    (own,) = (w for w in examples().windows(6) if w.truth.any())
    assert own.hu.shape == own.truth.shape == (6, 8, 8, 8)
    assert own.truth.reshape(6, -1).any(1)[::2].all()
    assert np.array_equal(own.hu, next(w for w in examples().windows(6) if w.truth.any()).hu)


def test_a_rounds_figures_are_those_of_the_windows_and_final_ones_of_whole_scans(task):
    scans = [scan("a"), scan("b"), scan("c"), scan("c", centre=(4, 4, 4))]
    job, model = job_of(task, scans, test=2), task.initial(1, {})
    model = {**model, "output.bias": np.full(1, 10, np.float32)}  # marks everything
    watched, whole = job.watch(model, "test"), job.evaluate(model, "test")
    assert set(watched) == set(whole)
    assert watched["patients"] == whole["patients"] == 2
    assert watched["either"] < whole["either"]
    assert watched["found"] == watched["nodules"] > 0
    plain = job_of(NoduleSegmentation(**SMALL, round_windows=0), scans, test=2)
    assert same(plain.watch(model, "test"), plain.evaluate(model, "test"))
    assert job.watch(model, "valid") == {}


def test_scoring_again_reads_no_scan_again(task):
    scans = [scan(f"p{i}", seed=i) for i in range(3)]
    job, model = job_of(task, scans, test=1), task.initial(1, {})
    for _ in range(2):
        job.evaluate(model, "test")
        job.evaluate_each(model, "test")
        job.watch(model, "test")
    assert scans[2].read == 1


def test_a_site_without_a_nodule_takes_part(task):
    job = job_of(task, [scan(f"p{i}", radius=0) for i in range(3)])
    trained = job.train(task.initial(1, {}), PLAN)
    assert np.isfinite(trained.loss_sum)
    assert "dice" not in task.summarise(job.evaluate(trained.tensors, "test"))


def test_a_site_without_training_patients_refuses(task):
    with pytest.raises(Refused, match="no training patient"):
        job_of(task, [scan("a")], test=1)


def test_the_gradient_over_all_patients_is_always_the_same(task):
    start = task.initial(1, {})
    first, again = job_of(task).gradient(start), job_of(task).gradient(start)
    assert first[1] == again[1]
    assert same(first[0], again[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": (16, 32)}, "three-level"),
        ({"filters": (16, 32, 63)}, "three-level"),
        ({"patch": 18}, "multiples of 8"),
        ({"window_hu": (400.0, -1000.0)}, "no window"),
        ({"window_hu": (0.0,)}, "no window"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(PartError, match="cannot be used") as caught:
        NoduleSegmentation(**options)
    assert message in str(caught.value)


def test_resampling_keeps_the_nodule_in_its_place():
    fine = scan(shape=(20, 24, 16), spacing=(3.0, 1.5, 1.5), origin=(5.0, -7.0, 9.0))
    case = prepare(fine, 2.0, crop=False)
    assert case.grid.spacing_mm == (2.0, 2.0, 2.0)
    was = fine.volume().geometry.to_world(np.argwhere(fine.truth).mean(axis=0))
    now = case.grid.to_world(np.argwhere(case.whole(case.truth)).mean(axis=0))
    assert now == pytest.approx(was, abs=0.5)
    voxels = {"was": fine.truth.sum() * 3 * 1.5 * 1.5, "now": case.truth.sum() * 8.0}
    assert voxels["now"] == pytest.approx(voxels["was"], rel=0.2)


def test_a_case_is_cut_to_the_lungs_and_put_back(tmp_path):
    hu = np.full((40, 60, 60), 40, np.int16)
    hu[5:35, 15:45, 8:26] = hu[5:35, 15:45, 34:52] = -870
    mask = np.zeros(hu.shape, np.uint8)
    mask[20, 20:23, 12:15] = 1
    mask[0, 0, 0] = 1  # outside the lungs
    case = prepare(type(scan())("p", hu, mask, (5.0, 5.0, 5.0)), None, crop=True)
    assert case.hu.size < hu.size
    assert case.missed == 1
    put_back = case.whole(case.truth)
    mask[0, 0, 0] = 0
    assert np.array_equal(put_back, mask)


PLAIN = Augmentation(rotate=0, zoom=0)
SAMPLING = Sampling(
    size=8, per_patient=3, positive=1.0, window=(-1000.0, 400.0), augmentation=PLAIN
)


def examples(**changes):
    task = NoduleSegmentation(crop=False)
    sampling = Sampling(**{**{n: getattr(SAMPLING, n) for n in vars(SAMPLING)}, **changes})
    return PatchExamples(task.cases([scan("a"), scan("b", radius=0)]), 2, sampling)


def test_a_pass_serves_every_scan_and_positive_patches_hold_a_nodule():
    served = list(examples().batches(np.random.default_rng(0), 4))
    assert [len(images) for images, _ in served] == [4, 2]
    truths = torch.cat([truths for _, truths in served])
    assert int((truths.flatten(1).sum(1) > 0).sum()) == 3  # of the scan that has a nodule
    images = torch.cat([images for images, _ in served])
    assert images.dtype == torch.float32
    assert 0 <= float(images.min()) <= float(images.max()) <= 1


def test_without_a_random_stream_a_pass_is_always_the_same():
    first, again = (list(examples().batches(None, 2)) for _ in range(2))
    assert all(
        torch.equal(a, b)
        for x, y in zip(first, again, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_a_batch_is_the_same_whenever_and_in_whatever_order_it_is_made():
    turns = examples(augmentation=Augmentation(share=1.0))
    in_order = list(turns.batches(np.random.default_rng(5), 2))
    makers = list(turns.makers(np.random.default_rng(5), 2))
    assert len(makers) == len(in_order) == 3
    for place in (2, 0, 1, 1):
        images, truths = makers[place]()
        assert torch.equal(images, in_order[place][0])
        assert torch.equal(truths, in_order[place][1])


def test_passes_differ_and_the_next_does_not_depend_on_what_was_made():
    rng, other = np.random.default_rng(5), np.random.default_rng(5)
    first = [make() for make in examples().makers(rng, 2)]
    list(examples().makers(other, 2))  # none is made
    second, again = (list(examples().batches(r, 2)) for r in (rng, other))
    assert torch.equal(second[0][0], again[0][0])
    assert not torch.equal(second[0][0], first[0][0])


def test_turned_patches_carry_their_truth_with_them():
    how = Augmentation(share=1.0, rotate=40, zoom=0.2, shift_hu=0, contrast=0, noise_hu=0, blur=0)
    served = examples(augmentation=how, per_patient=20).batches(np.random.default_rng(1), 40)
    images, truths = next(served)
    bright = images * 1400 - 1000 > -400  # the ball has 0 HU in lung of about -850
    assert truths.sum() > 1000
    both = (bright & (truths > 0)).sum()
    assert 2 * both / (bright.sum() + truths.sum()) > 0.9


def test_volumes_smaller_than_a_patch_are_filled_with_air():
    task = NoduleSegmentation(crop=False)
    cases = task.cases([scan(shape=(5, 6, 20), centre=(2, 2, 2), radius=1)])
    images, truths = next(PatchExamples(cases, 1, SAMPLING).batches(np.random.default_rng(0), 8))
    assert images.shape == truths.shape == (3, 1, 8, 8, 8)
    assert float(images.min()) == 0


def test_cases_are_read_when_asked_for_and_kept():
    scans = [scan("a"), scan("b")]
    cases = Cases(scans, lambda s: prepare(s, None, crop=False), 1e9)
    assert [s.read for s in scans] == [0, 0]
    assert cases[0] is cases[0]
    assert [s.read for s in scans] == [1, 0]


def test_the_task_and_its_source_load_without_torch():
    code = (
        "import sys; import medfed.tasks.segmentation, medfed.connectors.volumes;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'monai', 'SimpleITK')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
