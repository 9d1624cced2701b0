import io

import numpy as np
import pytest
from PIL import Image

from medfed.imaging.geometry import Geometry, Volume
from medfed.imaging.lungs import lung_mask
from medfed.imaging.pictures import (
    LETTER_RGB,
    PREDICTION_RGB,
    TRUTH_RGB,
    lettered,
    montage,
    slice_png,
    slice_rgb,
)
from medfed.imaging.resample import isotropic, resample, resample_mask, resample_to

TURNED = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def test_resampling_keeps_the_outer_faces() -> None:
    grid = Geometry((20, 30, 40), (2.0, 1.0, 1.0), (5.0, -7.0, 11.0), TURNED)
    new = isotropic(grid, 0.5)
    assert new.shape == (80, 60, 80)
    assert np.allclose(grid.to_world((-0.5, -0.5, -0.5)), new.to_world((-0.5, -0.5, -0.5)))
    end_old, end_new = np.asarray(grid.shape) - 0.5, np.asarray(new.shape) - 0.5
    assert np.allclose(grid.to_world(end_old), new.to_world(end_new))


def test_resampling_reproduces_a_plane() -> None:
    grid = Geometry((12, 12, 12), (2.0, 1.5, 1.0), (1.0, 2.0, 3.0), TURNED)
    index = np.stack(np.indices(grid.shape), axis=-1)
    plane = grid.to_world(index) @ (10.0, -7.0, 4.0)
    volume = Volume(np.rint(plane).astype(np.int16), grid.spacing_mm, grid.origin_mm, TURNED)
    moved = resample(volume, 1.2)
    where = moved.geometry.to_world(np.stack(np.indices(moved.shape), axis=-1))
    inner = (slice(2, -2),) * 3
    assert np.abs(moved.hu - where @ (10.0, -7.0, 4.0))[inner].max() <= 1.5


def test_padding_does_not_bleed() -> None:
    hu = np.full((8, 8, 8), 40, np.int16)
    hu[:, :, :4] = -3024
    moved = resample(Volume(hu, (1.0, 1.0, 1.0)), 0.7)
    assert moved.hu.min() == -1024


def test_outside_the_scan_is_air() -> None:
    volume = Volume(np.full((4, 4, 4), 40, np.int16), (1.0, 1.0, 1.0))
    moved = resample_to(volume, Geometry((4, 4, 4), (1.0, 1.0, 1.0), (100.0, 0.0, 0.0)))
    assert (moved.hu == -1024).all()


def test_a_mask_keeps_its_volume_and_place() -> None:
    grid = Geometry((30, 40, 40), (2.0, 1.0, 1.0))
    z, y, x = np.indices(grid.shape)
    ball = ((z - 15) * 2) ** 2 + (y - 20) ** 2 + (x - 18) ** 2 < 81
    new = isotropic(grid, 1.3)
    moved = resample_mask(ball.astype(np.uint8), grid, new)
    assert set(np.unique(moved)) == {0, 1}
    assert moved.sum() * 1.3**3 == pytest.approx(ball.sum() * 2.0, rel=0.08)
    centre = new.to_world(np.argwhere(moved).mean(axis=0))
    assert np.abs(centre - (18, 20, 30)).max() < 0.3
    with pytest.raises(ValueError, match="shape"):
        resample_mask(ball[1:].astype(np.uint8), grid, new)


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan"), (1.0, 0.0, 1.0)])
def test_impossible_spacing(spacing: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        isotropic(Geometry((2, 2, 2), (1.0, 1.0, 1.0)), spacing)


def chest() -> Volume:
    z, y, x = np.indices((60, 80, 100))
    hu = np.full(z.shape, -1000, np.int16)
    hu[((y - 40) / 36) ** 2 + ((x - 50) / 46) ** 2 < 1] = 40
    for centre in (30, 70):
        hu[((y - 40) / 26) ** 2 + ((x - centre) / 16) ** 2 + ((z - 30) / 32) ** 2 < 1] = -870
    hu[28:32, 38:42, 26:30] = 50  # a vessel
    return Volume(hu, (3.0, 3.0, 3.0))


def test_lungs_are_found_with_their_vessels_and_without_the_room() -> None:
    volume = chest()
    mask = lung_mask(volume)
    assert mask[30, 40, 28]
    assert mask[30, 40, 70]
    assert not mask[:, 40, 50].any()
    assert not mask[:, 0].any()
    truth = volume.hu == -870
    assert (mask & truth).sum() > 0.97 * truth.sum()


def test_finer_voxels_give_the_same_lungs() -> None:
    volume = chest()
    fine = Volume(np.repeat(np.repeat(volume.hu, 3, 1), 3, 2), (3.0, 1.0, 1.0))
    mask = lung_mask(fine)
    assert mask.shape == fine.hu.shape
    assert mask.sum() / 9 == pytest.approx(lung_mask(volume).sum(), rel=0.03)


def test_no_lungs_no_mask() -> None:
    assert not lung_mask(Volume(np.full((9, 9, 9), 40, np.int16), (3.0, 3.0, 3.0))).any()
    assert not lung_mask(Volume(np.full((9, 9, 9), -1000, np.int16), (3.0, 3.0, 3.0))).any()


def test_a_picture_shows_truth_and_prediction() -> None:
    hu = np.linspace(-1350, 150, 100).reshape(10, 10)
    truth, prediction = np.zeros((2, 10, 10))
    truth[2:4, 2:4] = 1
    prediction[6:8, 6:8] = 1
    rgb = slice_rgb(hu, truth, prediction, scale=6)
    assert rgb.shape == (60, 60, 3)
    for colour, low, high in ((TRUTH_RGB, 10, 26), (PREDICTION_RGB, 34, 50)):
        at = np.argwhere((rgb == colour).all(axis=2))
        assert len(at)
        assert at.min() >= low
        assert at.max() < high
    picture = Image.open(io.BytesIO(slice_png(hu, scale=3)))
    assert picture.size == (30, 30)
    grey = np.asarray(picture)[..., 0]
    assert grey[0, 0] <= 2
    assert grey[-1, -1] >= 253


def test_a_montage_holds_all_its_pictures() -> None:
    one, two = np.full((4, 6, 3), 255, np.uint8), np.full((5, 3, 3), 128, np.uint8)
    sheet = np.asarray(Image.open(io.BytesIO(montage([one, two, one], columns=2, gap=1))))
    assert sheet.shape == (11, 13, 3)
    assert (sheet == 255).all(axis=2).sum() == 48
    assert (sheet == 128).all(axis=2).sum() == 15


def test_letters_stand_at_the_four_edges() -> None:
    black = np.zeros((360, 480, 3), np.uint8)
    for sides, rows, columns in (
        (("R", "", "", ""), (140, 220), (0, 80)),
        (("", "L", "", ""), (140, 220), (400, 480)),
        (("", "", "A", ""), (0, 80), (200, 280)),
        (("", "", "", "P"), (280, 360), (200, 280)),
    ):
        drawn = np.argwhere((lettered(black, *sides) == LETTER_RGB).all(axis=2))
        assert len(drawn) > 5
        assert rows[0] <= drawn[:, 0].min() <= drawn[:, 0].max() < rows[1]
        assert columns[0] <= drawn[:, 1].min() <= drawn[:, 1].max() < columns[1]
    assert not black.any()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: slice_rgb(np.zeros((2, 2, 2))), "two axes"),
        (lambda: slice_rgb(np.zeros((2, 2)), scale=0), "scale"),
        (lambda: slice_rgb(np.zeros((2, 2)), window=(0, 0)), "width"),
        (lambda: slice_rgb(np.zeros((2, 2)), truth=np.zeros((3, 2))), "outline"),
        (lambda: montage([]), "at least one"),
    ],
)
def test_pictures_refuse_nonsense(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()
