import numpy as np
import pytest

from medfed.core.update import add_stats
from medfed.tasks.segmentation_stats import (
    figures,
    overlap,
    patient_stats,
    segmentation_metrics,
)


def box(*corners):
    mask = np.zeros((8, 8, 8), np.uint8)
    for (z, y, x), size in corners:
        mask[z : z + size, y : y + size, x : x + size] = 1
    return mask


def values(total, **kwargs):
    return {name: i.value for name, i in segmentation_metrics(total, **kwargs).items()}


def test_hand_made_masks_give_the_figures_done_by_hand():
    # Two nodules of 8 voxels; one half found (4 of its voxels), one missed; one false finding of 1.
    truth = box(((0, 0, 0), 2), ((5, 5, 5), 2))
    marked = np.zeros_like(truth)
    marked[0, 0:2, 0:2] = 1
    marked[3, 3, 3] = 1
    one = overlap(truth, marked, loss=0.5)
    assert (one.both, one.truth, one.predicted) == (4, 16, 5)
    assert (one.nodules, one.found, one.false) == (2, 1, 1)
    found = values(patient_stats(one))
    assert found == {
        "dice": pytest.approx(8 / 21),
        "pooled_dice": pytest.approx(8 / 21),
        "sensitivity": 0.5,
        "false_positives": 1.0,
        "loss": 0.5,
    }


def test_the_mean_is_over_patients_and_the_pooled_figure_over_voxels():
    small = overlap(box(((0, 0, 0), 1)), box(((0, 0, 0), 1)))
    large = overlap(box(((0, 0, 0), 4)), np.zeros((8, 8, 8)))
    found = values(add_stats([patient_stats(small), patient_stats(large)]))
    assert found["dice"] == 0.5
    assert found["pooled_dice"] == pytest.approx(2 / 66)


def test_marking_nothing_has_a_dice_of_zero_and_marking_all_right_one():
    truth = box(((2, 2, 2), 3))
    assert values(patient_stats(overlap(truth, np.zeros_like(truth))))["dice"] == 0
    assert values(patient_stats(overlap(truth, truth)))["dice"] == 1


def test_a_patient_without_a_nodule_has_no_dice_but_counts_for_false_positives():
    with_nodule = patient_stats(overlap(box(((0, 0, 0), 2)), box(((0, 0, 0), 2))))
    without = patient_stats(overlap(np.zeros((8, 8, 8)), box(((3, 3, 3), 1))))
    found = values(add_stats([with_nodule, without]))
    assert found["dice"] == 1
    assert found["false_positives"] == 0.5
    assert "dice" not in values(without)
    assert "pooled_dice" not in values(without)


def test_truth_outside_the_box_is_missed():
    truth = box(((0, 0, 0), 2))
    assert overlap(truth, truth, missed=8).dice == pytest.approx(16 / 24)


def test_several_scans_are_one_patient():
    good = overlap(box(((0, 0, 0), 2)), box(((0, 0, 0), 2)), loss=1)
    bad = overlap(box(((0, 0, 0), 2)), np.zeros((8, 8, 8)), loss=3)
    found = patient_stats(good + bad)
    assert found["patients"] == 1
    assert values(found)["dice"] == pytest.approx(2 * 8 / 24)
    assert values(found)["loss"] == 2


def test_statistics_add_up_whatever_the_sites():
    rng = np.random.default_rng(0)
    masks = rng.random((6, 2, 8, 8, 8)) > 0.7
    stats = [patient_stats(overlap(t, p)) for t, p in masks]
    at_once = add_stats(stats)
    in_sites = add_stats([add_stats(stats[:2]), add_stats(stats[2:])])
    assert values(at_once) == pytest.approx(values(in_sites))
    many = figures({name: np.stack([v, 2 * v]) for name, v in at_once.items()})
    for name, value in values(at_once).items():
        assert many[name] == pytest.approx([value, value])


def test_the_interval_holds_the_value_and_is_that_of_a_patient_bootstrap():
    rng = np.random.default_rng(1)
    dice = rng.beta(5, 3, 40)
    truth = np.zeros((1, 1, 2000), bool)
    truth[..., :1000] = True
    stats = []
    for d in dice:
        marked = np.zeros_like(truth)
        marked[..., : round(1000 * d / (2 - d))] = True
        stats.append(patient_stats(overlap(truth, marked)))
    found = segmentation_metrics(add_stats(stats), intervals=True)["dice"]
    drawn = rng.choice(dice, (4000, 40)).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    assert found.low < found.value < found.high
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))
    assert segmentation_metrics(add_stats(stats), intervals=True)["dice"] == found


def test_nothing_gives_nothing():
    assert segmentation_metrics({}) == {}
