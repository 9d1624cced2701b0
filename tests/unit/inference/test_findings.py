"""Size, attenuation and place of a finding, against what can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from unit.inference.threshold import LUNG_HU, thorax

from medfed.imaging.lungs import lung_mask
from medfed.inference.findings import attenuation_of, longest_axial, solid_share
from medfed.inference.location import Lungs
from medfed.inference.model import Calibration


def ball(radius_mm, spacing, shape=(24, 40, 40)):
    middle = (np.asarray(shape) - 1) / 2
    offsets = [(np.arange(n) - m) * s for n, m, s in zip(shape, middle, spacing, strict=True)]
    z, y, x = np.meshgrid(*offsets, indexing="ij")
    return z**2 + y**2 + x**2 <= radius_mm**2


# --- size -----------------------------------------------------------------------------------------


@given(st.floats(4, 12), st.floats(0.5, 1.5), st.floats(0.5, 1.5), st.floats(1.0, 3.0))
def test_a_balls_longest_diameter_is_its_diameter(radius, y, x, z):
    mask = ball(radius, (z, y, x), (40, 64, 64))
    found = longest_axial(mask, (z, y, x))
    # Its largest slice may lie up to half a slice from its middle.
    shortest = 2 * np.sqrt(max(radius**2 - (z / 2) ** 2, 0)) - 1.5 * max(y, x)
    assert shortest <= found.mm <= 2 * radius + 1.5 * max(y, x)


def test_the_diameter_is_the_longest_of_all_slices_and_says_where():
    mask = np.zeros((3, 10, 12), bool)
    mask[0, 2:4, 2:4] = True
    mask[2, 5, 1:9] = True
    found = longest_axial(mask, (1.0, 1.0, 0.5))
    assert found.mm == pytest.approx(4.0)
    assert found.slice == 2
    assert sorted(found.ends) == [(5.0, 0.5), (5.0, 8.5)]


def test_one_voxel_is_one_voxel_wide():
    mask = np.zeros((1, 3, 3), bool)
    mask[0, 1, 1] = True
    assert longest_axial(mask, (1.0, 0.7, 0.9)).mm == pytest.approx(0.9)


# --- attenuation ----------------------------------------------------------------------------------


def test_the_rim_does_not_make_a_solid_nodule_part_solid():
    mask = ball(6, (1, 1, 1))
    hu = np.full(mask.shape, LUNG_HU, np.int16)
    hu[mask] = 20
    rim = mask & ~ndimage.binary_erosion(mask)
    hu[rim] = -500
    assert solid_share(hu, mask) == 1.0


@pytest.mark.parametrize(
    ("share", "diameter", "expected"),
    [
        (0.0, 10, "ground-glass"),
        (0.04, 10, "ground-glass"),
        (0.3, 10, "part-solid"),
        (0.95, 10, "solid"),
        (0.3, 5, "ground-glass"),  # too small to be told part-solid
        (0.6, 5, "solid"),
    ],
)
def test_kinds_of_nodules(share, diameter, expected):
    assert attenuation_of(share, diameter) == expected


def test_a_solid_core_in_ground_glass_is_part_solid():
    mask, core = ball(9, (1, 1, 1)), ball(4, (1, 1, 1))
    hu = np.full(mask.shape, LUNG_HU, np.int16)
    hu[mask], hu[core] = -600, 30
    share = solid_share(hu, mask)
    assert 0.05 < share < 0.9
    assert attenuation_of(share, 18.0) == "part-solid"


# --- place ----------------------------------------------------------------------------------------


def lungs_of(volume):
    return Lungs.of(lung_mask(volume), volume.spacing_mm)


def test_sides_and_thirds_of_two_lungs():
    volume = thorax()
    lungs, grid = lungs_of(volume), volume.geometry
    for x, side in ((-62, "right"), (62, "left")):
        for z, third in ((-70, "lower"), (0, "middle"), (70, "upper")):
            centre = tuple(grid.to_index((x, 0, z)))
            assert (lungs.side(centre), lungs.third(centre)) == (side, third)
    assert abs(grid.to_world((0, 0, lungs.split))[0]) <= 6
    assert not lungs.cut_off(volume.shape[0])


def test_one_lung_has_no_side():
    volume = thorax()
    hu = volume.hu.copy()
    middle = hu.shape[2] // 2
    hu[:, :, middle:][hu[:, :, middle:] == LUNG_HU] = 30
    lungs = Lungs.of(lung_mask(type(volume)(hu, volume.spacing_mm)), volume.spacing_mm)
    assert lungs.split is None
    assert lungs.side((10, 10, 10)) is None
    assert lungs.third((hu.shape[0] * 0.8, 10, 10)) == "upper"


def test_a_scan_that_ends_in_the_lungs_is_noticed():
    volume = thorax()
    part = type(volume)(volume.hu[20:50], volume.spacing_mm)
    assert lungs_of(part).cut_off(30)


def test_no_lungs():
    assert Lungs.of(np.zeros((4, 4, 4), bool), (1.0, 1.0, 1.0)) is None


# --- probability ----------------------------------------------------------------------------------


def test_a_calibration_is_read_between_its_points():
    table = Calibration((0.0, 0.5, 1.0), (0.0, 0.2, 0.6), 12)
    assert table(0.5) == pytest.approx(0.2)
    assert table(0.75) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("scores", "observed"),
    [((0.0,), (0.0,)), ((0.0, 1.0), (0.5, 0.2)), ((0.5, 0.5), (0.1, 0.2)), ((0.0, 2.0), (0, 1))],
)
def test_a_calibration_that_makes_no_sense_is_refused(scores, observed):
    with pytest.raises(ValueError, match=r"calibration|scores"):
        Calibration(scores, observed, 3)
