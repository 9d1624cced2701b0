"""A real network finds balls where they are, whatever the scan's grid."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from unit.inference.threshold import (
    BALL_HU,
    FILTERS,
    STUDY,
    about,
    balls,
    oblique,
    tensors,
    thorax,
)

from medfed.core.errors import DataError
from medfed.core.registry import Part, make
from medfed.core.task import Execution
from medfed.imaging.geometry import IDENTITY, Geometry
from medfed.imaging.lungs import lung_mask
from medfed.inference import NodulePredictor
from medfed.inference.model import SYNTHETIC
from medfed.inference.predictor import Rules
from medfed.tasks.segmentation_cases import prepare
from medfed.tasks.segmentation_predictor import _on_grid, starts, window

FLIPPED = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))
SAGITTAL = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
GRIDS = {
    "plain": Geometry((40, 44, 48), (1.0, 1.0, 1.0)),
    "anisotropic": Geometry((20, 60, 56), (2.5, 0.7, 0.8), (-30.0, 12.0, -400.0)),
    "oblique": Geometry((24, 50, 52), (2.0, 0.9, 0.8), (10.0, -20.0, 30.0), oblique()),
    "flipped": Geometry((30, 40, 44), (1.5, 1.0, 0.9), (100.0, 90.0, -50.0), FLIPPED),
    "sagittal": Geometry((40, 44, 48), (1.1, 0.9, 1.0), (5.0, 6.0, 7.0), SAGITTAL),
}
ONE = Execution(1, "fp32", "cpu")


def predictor(threshold_hu=-250.0, words=(), **options):
    return NodulePredictor(
        tensors(), {**about(threshold_hu, **options), **dict(words)}, "cd" * 32, ONE
    )


def place_of(labels, grid, number=1):
    """World centre of a label, straight from the mask."""
    return grid.to_world(np.argwhere(labels == number).mean(axis=0))


@pytest.mark.parametrize("spacing", [None, 1.6])
@pytest.mark.parametrize("name", GRIDS)
def test_a_ball_is_found_where_it_is_within_half_a_voxel(name, spacing):
    grid = GRIDS[name]
    centre = grid.to_world(np.asarray(grid.shape) * (0.45, 0.55, 0.6))
    found = predictor(spacing_mm=spacing).predict(balls(grid, [centre], radius_mm=7.0))
    (finding,) = found.findings
    near = min(*grid.spacing_mm, spacing or 9) / 2
    assert np.linalg.norm(np.asarray(finding.centre_mm) - centre) <= near
    assert np.allclose(place_of(found.labels, grid), finding.centre_mm, atol=1e-6)
    assert np.allclose(grid.to_world(finding.centre_zyx), finding.centre_mm, atol=1e-6)
    assert finding.volume_mm3 == pytest.approx(4 / 3 * np.pi * 7**3, rel=0.2)
    assert finding.volume_mm3 == pytest.approx((found.labels == 1).sum() * np.prod(grid.spacing_mm))
    assert finding.diameter.mm == pytest.approx(14, abs=3)


def test_findings_in_the_lungs_are_told_apart_and_placed():
    places = [(62, 10, 60), (-62, -10, -55)]
    scan = thorax(places)
    heard = []
    found = predictor(250.0).predict(scan, lambda done, of: heard.append((done, of)))
    assert heard[-1][0] == heard[-1][1] == len(heard)
    by_side = {finding.side: finding for finding in found.findings}
    assert by_side["left"].third == "upper"
    assert by_side["right"].third == "lower"
    for side, place in zip(("left", "right"), places, strict=True):
        assert np.linalg.norm(np.asarray(by_side[side].centre_mm) - place) < 1.5
        assert by_side[side].mean_hu == BALL_HU
        assert by_side[side].attenuation == "solid"
        assert not by_side[side].calibrated
    assert set(np.unique(found.labels)) == {0, 1, 2}


@pytest.mark.parametrize("direction", [IDENTITY, FLIPPED])
def test_right_is_the_patients_right_however_the_file_is_stored(direction):
    found = predictor(250.0).predict(thorax([(-62, 0, 0)], direction=direction))
    assert [(f.side, f.third) for f in found.findings] == [("right", "middle")]


def test_what_lies_outside_the_lungs_is_left_out_and_said():
    found = predictor(250.0).predict(thorax([(62, 0, 0), (0, 60, 0)]))
    assert len(found.findings) == 1
    assert any("outside the lungs" in note for note in found.notes)


def test_windows_give_the_same_as_one_look():
    scan = thorax([(62, 0, 40), (-62, 20, -50)])
    whole = predictor(250.0).predict(scan)
    parts = predictor(250.0, roi=32).predict(scan)
    assert np.array_equal(whole.labels > 0, parts.labels > 0)


def test_small_pieces_near_ones_and_too_many_are_left_out():
    grid = GRIDS["plain"]
    near = [(12, 20, 20), (12, 26.5, 20)]
    scan = balls(grid, [*near, (32, 20, 20)], radius_mm=2.6)
    volume = scan.hu.copy()
    volume[5, 5, 5] = BALL_HU
    scan = type(scan)(volume, scan.spacing_mm)

    def count(**rules):
        made = NodulePredictor(tensors(), about(-250.0), "", ONE, rules=Rules(**rules))
        return len(made.predict(scan).findings)

    assert count() == 3
    assert count(smallest_mm=0.0) == 4
    assert count(apart_mm=10.0) == 2
    assert count(most=1) == 1
    with pytest.raises(ValueError, match="255"):
        Rules(most=300)


def test_a_nodule_smaller_than_the_scans_voxels_is_still_drawn():
    grid = Geometry((8, 24, 24), (5.0, 1.0, 1.0))
    scan = balls(grid, [(12.0, 12.0, 20.0)], radius_mm=3.0)
    (finding,) = predictor(spacing_mm=1.5).predict(scan).findings
    assert finding.voxels >= 1


def test_an_empty_scan_gives_nothing():
    found = predictor().predict(balls(GRIDS["plain"], []))
    assert found.findings == ()
    assert not found.labels.any()
    assert any("No lungs" in note for note in found.notes)


@pytest.mark.parametrize("spacing", [None, 4.0])
def test_a_scan_is_looked_at_as_those_of_the_training_were(spacing):
    """The same numbers as the task's own scoring gives, where windows are of the same size."""
    options = {"filters": FILTERS, "spacing_mm": spacing, "roi": 128}
    task = make("task", Part("nodule-segmentation", options))
    model = task.initial(3, {})
    scan = thorax([(62, 0, 0)], spacing=(3.0, 2.5, 2.5))

    class Case:
        patient = "p"

        def volume(self):
            return scan

        def mask(self):
            return np.zeros(scan.shape, np.uint8)

    case = prepare(Case(), spacing, crop=True)
    module = task.build().eval()
    module.load_state_dict({name: torch.tensor(value) for name, value in model.items()})
    with torch.inference_mode():
        wanted = task.predict(module, case)
    found = task.predictor(model, {}, ONE)(scan, lung_mask(scan), lambda *_: None)
    if spacing is None:
        assert found.values.shape == wanted.shape
        assert np.allclose(found.values, wanted, atol=1e-6)
    else:  # the lungs are found before the scan is resampled: the box may differ by a voxel or two
        whole = np.full(case.grid.shape, np.nan, np.float32)
        whole[case.box] = case.hu
        corner = np.rint(case.grid.to_index(found.geometry.to_world((0, 0, 0)))).astype(int)
        part = tuple(slice(c, c + n) for c, n in zip(corner, found.values.shape, strict=True))
        both = np.isfinite(whole[part])
        assert both.mean() > 0.9
        assert np.abs(_on_grid(scan, found.geometry) - whole[part])[both].max() <= 1  # rounding


# --- the model's own words ------------------------------------------------------------------------


def test_scores_are_calibrated_where_the_model_holds_a_table():
    table = {"scores": [0.0, 0.5, 1.0], "observed": [0.0, 0.1, 0.4], "patients": 7, "groups": []}
    scan = balls(GRIDS["plain"], [(20, 20, 20)])
    (finding,) = predictor(words={"calibration": table}).predict(scan).findings
    assert finding.calibrated
    assert finding.probability == pytest.approx(0.4, abs=0.01)
    assert finding.score == pytest.approx(1.0, abs=0.01)


def test_a_model_of_synthetic_patients_says_so():
    model = predictor(words={"notices": ["The patients are synthetic, drawn by a program"]}).model
    assert model.notices == (SYNTHETIC,)
    assert model.study == STUDY


@pytest.mark.parametrize("lost", ["task", "study"])
def test_a_model_without_words_about_itself_is_refused(lost):
    words = about()
    del words[lost]
    with pytest.raises(DataError, match="does not say by which study"):
        NodulePredictor(tensors(), words)


def test_a_model_of_another_task_is_refused():
    task = {"name": "tabular-classification", "target": "a", "positive": "= 1", "numeric": ["b"]}
    with pytest.raises(DataError, match="cannot look at a scan"):
        NodulePredictor({}, {**about(), "task": task})


def test_tensors_that_do_not_fit_are_refused():
    others = tensors()
    others["output.bias"] = np.zeros(2, np.float32)
    with pytest.raises(DataError, match=r"output\.bias"):
        NodulePredictor(others, about())
    others["output.bias"] = np.array([np.nan], np.float32)
    with pytest.raises(DataError, match="not finite"):
        NodulePredictor(others, about())


def test_a_damaged_calibration_is_refused():
    with pytest.raises(DataError, match="damaged"):
        NodulePredictor(tensors(), {**about(), "calibration": {"scores": [1, 0]}})


# --- windows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("size", [5, 95, 96, 97, 168, 169, 235, 301, 345])
def test_windows_cover_an_axis_with_no_more_of_them_than_large_ones_need(size, overlap):
    edge = window(size, 96, overlap, 4)
    assert edge % 4 == 0
    first = starts(size, edge, overlap)
    assert max(first) + edge >= size
    assert all(b - a <= edge * (1 - overlap) + 1e-9 for a, b in pairwise(first))
    assert len(first) <= len(starts(size, 96, overlap))
    assert edge <= 96
