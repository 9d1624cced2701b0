from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medfed.imaging.candidates import Candidate, candidates, labelled, suppressed

SPACING = (2.0, 0.7, 0.5)


@st.composite
def maps(draw: st.DrawFn) -> np.ndarray:
    shape = tuple(draw(st.integers(1, 7)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.random(shape).astype(np.float32) ** draw(st.sampled_from((1, 4)))


thresholds = st.floats(0.05, 0.95)


@settings(deadline=None)
@given(maps(), thresholds)
def test_pieces_are_those_of_scipy_with_their_sums(probability, threshold):
    found, labels = labelled(probability, SPACING, threshold)
    expected, count = ndimage.label(probability >= threshold, np.ones((3, 3, 3)))
    assert len(found) == count
    for one in found:
        piece = labels == one.label
        assert len(np.unique(expected[piece])) == 1
        assert one.voxels == piece.sum()
        assert one.volume_mm3 == pytest.approx(one.voxels * np.prod(SPACING))
        assert one.probability == probability[piece].max()
        assert one.mean_probability == pytest.approx(probability[piece].mean(), rel=1e-5)
        weighted = ndimage.center_of_mass(probability.astype(float), piece, True)
        assert one.centre_zyx == pytest.approx(weighted, abs=1e-6)
        assert one.centre_mm == pytest.approx(np.multiply(weighted, SPACING), abs=1e-6)
        assert piece[one.box].sum() == one.voxels
        assert one.box == ndimage.find_objects(piece.astype(int))[0]


@settings(deadline=None)
@given(maps(), thresholds)
def test_the_order_is_by_probability_and_always_the_same(probability, threshold):
    found = candidates(probability, SPACING, threshold)
    assert all(a.probability >= b.probability for a, b in pairwise(found))
    assert found == candidates(np.asfortranarray(probability), SPACING, threshold)


def test_a_volume_one_voxel_thin():
    row = np.array([[[0.6, 0.1, 0.9, 0.1, 0.7, 0.1, 0.8]]], np.float32)
    assert [round(c.probability, 1) for c in candidates(row, SPACING, 0.5)] == [0.9, 0.8, 0.7, 0.6]


def test_pieces_touch_by_corners_and_two_gaps_part_them():
    probability = np.zeros((6, 6, 6), np.float32)
    probability[0, 0, 0] = probability[1, 1, 1] = 0.9
    probability[4, 4, 4] = 0.6
    first, second = candidates(probability, (1, 1, 1), 0.5)
    assert (first.voxels, first.centre_zyx) == (2, (0.5, 0.5, 0.5))
    assert (second.voxels, second.centre_zyx) == (1, (4, 4, 4))


def test_small_pieces_are_left_out_but_stay_in_the_labels():
    probability = np.zeros((5, 5, 5), np.float32)
    probability[0, 0, :3] = 0.9
    probability[4, 4, 4] = 0.9
    found, labels = labelled(probability, (2, 1, 1), 0.5, smallest_mm3=2.1)
    assert [c.voxels for c in found] == [3]
    assert found[0].diameter_mm == pytest.approx((6 * 6 / np.pi) ** (1 / 3))
    assert np.count_nonzero(labels) == 4


def test_nothing_is_found_in_nothing_nor_in_nan():
    found, labels = labelled(np.zeros((2, 3, 4), np.float32), (1, 1, 1), 0.5)
    assert found == []
    assert labels.shape == (2, 3, 4)
    assert not candidates(np.full((3, 3, 3), np.nan), (1, 1, 1), 0.5)


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_a_threshold_that_marks_everything_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        candidates(np.zeros((2, 2, 2)), (1, 1, 1), threshold)


def test_a_picture_is_no_volume():
    with pytest.raises(ValueError, match="three axes"):
        candidates(np.zeros((2, 2)), (1, 1, 1), 0.5)


def _at(centre, probability, voxels=1):
    box = (slice(0, 1), slice(0, 1), slice(0, 1))
    return Candidate(1, centre, centre, probability, probability, voxels, float(voxels), box)


coordinates = st.tuples(*[st.floats(0, 30)] * 3)
marks = st.lists(st.builds(_at, coordinates, st.sampled_from((0.2, 0.5, 0.9))), max_size=20)


@given(marks, st.floats(0, 20))
def test_suppression_keeps_the_most_probable_of_each_place(found, distance):
    kept = suppressed(found, distance)

    def gap(a, b):
        return np.linalg.norm(np.subtract(a.centre_mm, b.centre_mm))

    for i, one in enumerate(kept):
        assert all(gap(one, other) >= distance for other in kept[:i])
    for one in found:
        near = [k for k in kept if k is one or (gap(k, one) < distance)]
        # What went lies near something at least as probable that stayed.
        assert any(k.probability >= one.probability for k in near) or one in kept
    assert suppressed(kept, distance) == kept
    assert suppressed(found[::-1], distance) == kept


def test_suppression_is_greedy():
    # The middle one goes because of the first, so the third stays although it is near the middle.
    first, middle, third = _at((0, 0, 0), 0.9), _at((0, 0, 4), 0.8), _at((0, 0, 8), 0.7)
    assert suppressed([third, middle, first], 5.0) == [first, third]
    assert suppressed([middle, third], 5.0) == [middle]


def test_of_equal_probability_the_larger_stays():
    small, large = _at((0, 0, 0), 0.9, 2), _at((0, 0, 1), 0.9, 7)
    assert suppressed([small, large], 5.0) == [large]
    assert suppressed([small, large], 0.0) == [large, small]


def test_a_negative_distance_is_refused():
    with pytest.raises(ValueError, match="negative"):
        suppressed([], -1.0)
