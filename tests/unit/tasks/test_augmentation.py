from math import radians

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medfed.tasks.augmentation import Augmentation, Turn, drawn_turn, looks, turned

CORNER = np.array([4, 6, 5])
SIZE = 8


def volume(shape=(16, 20, 18), seed=0):
    noise = np.random.default_rng(seed).normal(size=shape)
    hu = ndimage.gaussian_filter(noise, 2) * 3000 - 400
    return np.maximum(hu, -1000).astype(np.int16)


def test_no_turn_is_the_plain_cube():
    plain = volume()[4:12, 6:14, 5:13]
    assert turned(volume(), CORNER, SIZE, Turn(0.0, 1.0)) == pytest.approx(plain, abs=1e-3)


def test_a_quarter_turn_is_numpys():
    plain = volume()[4:12, 6:14, 5:13]
    quarter = turned(volume(), CORNER, SIZE, Turn(radians(90), 1.0))
    assert quarter == pytest.approx(np.rot90(plain, 1, (1, 2)), abs=0.01)


@given(st.floats(-0.4, 0.4), st.floats(0.8, 1.2))
def test_any_turn_is_scipys(angle, zoom):
    values = volume().astype(np.float32)
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    matrix = np.array([[zoom, 0, 0], [0, c, s], [0, -s, c]])
    middle = CORNER + (SIZE - 1) / 2
    offset = middle - matrix @ np.full(3, (SIZE - 1) / 2)
    expected = ndimage.affine_transform(
        values, matrix, offset, (SIZE,) * 3, order=1, mode="nearest"
    )
    assert turned(volume(), CORNER, SIZE, Turn(angle, zoom)) == pytest.approx(expected, abs=0.05)


def test_beyond_the_volume_lies_what_lies_at_its_edge():
    values = np.zeros((8, 8, 8), np.int16)
    values[:, :, 0] = 100
    found = turned(values, np.array([0, 0, 0]), 8, Turn(0.0, 1.5))
    assert found[:, :, 0].tolist() == np.full((8, 8), 100).tolist()


@given(st.integers(0, 10_000))
def test_what_is_varied_stays_what_a_ct_can_show(seed):
    how, rng = Augmentation(share=1.0), np.random.default_rng(seed)
    hu = np.full((SIZE,) * 3, -1000, np.float32)
    hu[:, :, 4:] = 50
    looks(hu, how, rng)
    assert hu.min() >= -1024
    largest = how.shift_hu + 1050 * how.contrast
    tissue = hu[:, :, 6:]  # away from what the blur mixes in
    assert abs(tissue.mean() - 50) < largest + 5
    assert tissue.std() < 1.4 * how.noise_hu


def test_contrast_leaves_air_where_it_is():
    how = Augmentation(1.0, shift_hu=0, contrast=0.2, noise_hu=0, blur=0)
    hu = np.array([[[-1000.0, 0.0, 1000.0]]], np.float32)
    looks(hu, how, np.random.default_rng(3))
    air, water, bone = hu[0, 0]
    assert air == pytest.approx(-1000, abs=0.01)
    assert bone - air == pytest.approx(2 * (water - air), rel=1e-5)
    assert abs(water) > 1


def test_blur_keeps_the_mean_and_smooths():
    how = Augmentation(1.0, shift_hu=0, contrast=0, noise_hu=0, blur=0.33)
    hu = volume((9, 9, 9), 1).astype(np.float32)
    before = hu.copy()
    looks(hu, how, np.random.default_rng(1))
    assert hu.mean() == pytest.approx(before.mean(), rel=1e-4)
    assert hu.std() < before.std()
    flat = np.full((4, 4, 4), -700, np.float32)
    looks(flat, how, np.random.default_rng(1))
    assert (flat == -700).all()


def test_noise_has_the_spread_it_says():
    how = Augmentation(1.0, shift_hu=0, contrast=0, noise_hu=40.0, blur=0)
    spreads = []
    for seed in range(60):
        hu = np.full((SIZE,) * 3, 0, np.float32)
        looks(hu, how, np.random.default_rng(seed))
        spreads.append(hu.std())
    assert max(spreads) < 44
    assert np.mean(spreads) == pytest.approx(20, rel=0.25)


def test_nothing_is_varied_when_all_options_are_off():
    how = Augmentation(1.0, False, 0, 0, 0, 0, 0, 0)
    hu = volume().astype(np.float32)
    before = hu.copy()
    looks(hu, how, np.random.default_rng(0))
    assert np.array_equal(hu, before)
    assert drawn_turn(how, np.random.default_rng(0)) is None
    assert how.describe() == ()


def test_a_share_of_patches_is_turned():
    how, rng = Augmentation(share=0.25), np.random.default_rng(0)
    drawn = [drawn_turn(how, rng) for _ in range(2000)]
    turns = [turn for turn in drawn if turn]
    assert len(turns) / len(drawn) == pytest.approx(0.25, abs=0.03)
    assert max(abs(t.angle) for t in turns) <= radians(how.rotate)
    assert max(abs(t.zoom - 1) for t in turns) <= how.zoom
