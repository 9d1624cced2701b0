import numpy as np
import pytest
from unit.tasks.volumes import ONE_THREAD, scan, site_of

from medfed.core.data import SiteData
from medfed.core.task import CalibratedTask
from medfed.inference.predictor import Rules
from medfed.tasks import segmentation_candidates
from medfed.tasks.calibration import FEWEST
from medfed.tasks.segmentation import NoduleSegmentation
from medfed.tasks.segmentation_candidates import candidate_stats
from medfed.tasks.segmentation_cases import prepare


def test_a_candidate_is_what_becomes_a_finding():
    rules = Rules()
    assert rules.smallest_mm == segmentation_candidates.SMALLEST_MM
    assert rules.apart_mm == segmentation_candidates.APART_MM


def test_candidates_that_touch_a_nodule_are_hits_and_specks_are_none():
    case = prepare(scan(), None, crop=False)  # a ball of 6 voxels across at (10, 12, 8), 2 mm
    probability = np.full(case.hu.shape, 0.1, np.float32)
    probability[8:11, 10:13, 6:9] = 0.9  # on the ball
    probability[1:4, 1:4, 1:4] = 0.8  # on nothing
    probability[16, 20, 13] = 0.99  # a voxel of 8 mm³, smaller than a ball of 3 mm
    stats = candidate_stats([(case, probability)], 0.75)
    assert (stats["hits"].sum(), stats["misses"].sum(), stats["patients"]) == (1, 1, 1)
    twice = candidate_stats([(case, probability)] * 2, 0.75)
    assert (twice["hits"].sum(), twice["patients"]) == (2, 1)


def test_validation_patients_give_the_counts_and_test_patients_none():
    task = NoduleSegmentation(filters=(4, 8, 8), patch=8, roi=16, crop=False)
    scans = [scan(f"p{i}", seed=i) for i in range(4)]
    plain = site_of(scans)
    model = {**task.initial(1, {}), "output.bias": np.full(1, 10, np.float32)}  # marks everything
    assert task.job(plain, {}, 1, ONE_THREAD).explain(model) == {}
    held = SiteData("north", plain.source, {**plain.sets, "valid": ("p1", "p2"), "train": ("p0",)})
    stats = task.job(held, {}, 1, ONE_THREAD).explain(model)
    assert stats["patients"] == 2
    assert (stats["hits"].sum(), stats["misses"].sum()) == (2, 0)
    assert isinstance(task, CalibratedTask)
    found = task.calibration(stats)
    assert str(FEWEST) in found["reason"]
    assert task.calibration({}) is None


def test_a_model_that_marks_specks_everywhere_is_counted_quickly(monkeypatch):
    monkeypatch.setattr(segmentation_candidates, "MOST", 3)
    case = prepare(scan(spacing=(4.0, 4.0, 4.0)), None, crop=False)
    probability = np.zeros(case.hu.shape, np.float32)
    probability[::4, ::4, ::4] = 0.9
    stats = candidate_stats([(case, probability)], 0.5)
    assert stats["hits"].sum() + stats["misses"].sum() == pytest.approx(3)
