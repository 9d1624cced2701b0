import numpy as np
import pytest

from medfed.connectors.phantom import PRESETS, nodules, vessels
from medfed.connectors.phantom.anatomy import Anatomy, lungs
from medfed.connectors.phantom.grid import Grid

LUNA16 = {5: 4.1, 25: 5.1, 50: 6.4, 75: 9.7, 95: 19.0}


@pytest.mark.parametrize("percentile", LUNA16)
def test_all_hospitals_together_see_luna16s_sizes(percentile):
    rng = np.random.default_rng(2)
    sizes = [
        nodules.draw_sizes(rng, "full", preset.size_shift)
        for preset in PRESETS
        for _ in range(1500)
    ]
    assert np.percentile(np.concatenate(sizes), percentile) == pytest.approx(
        LUNA16[percentile], rel=0.15
    )


def test_three_quarters_have_nodules_and_those_two_each():
    rng = np.random.default_rng(3)
    counts = np.array([len(nodules.draw_sizes(rng, "full", 0.0)) for _ in range(4000)])
    assert (counts > 0).mean() == pytest.approx(0.75, abs=0.02)
    assert counts[counts > 0].mean() == pytest.approx(2.0, abs=0.08)


@pytest.fixture(scope="module")
def scene():
    """A chest with many nodules in it, on bare lung."""
    rng = np.random.default_rng(4)
    body = Anatomy.draw(rng)
    grid = Grid.centred((160, 220, 220), (1.6, 1.5, 1.5))
    hu = np.full(grid.shape, -900, np.float32)
    mask = np.zeros(grid.shape, np.uint8)
    sizes = np.linspace(4.0, 24.0, 24)
    tree = vessels.grow(body, rng, 120)
    made = nodules.Scene(hu, mask, grid, body)
    return made, sizes, nodules.add_nodules(made, tree, sizes, rng)


def test_nodules_are_drawn_as_large_as_asked_for(scene):
    _, sizes, found = scene
    assert len(found) == len(sizes)
    ratio = np.array([n.diameter_mm for n in found]) / np.sort(sizes)[::-1]
    # Those that touch the pleura lose what would lie outside the lung.
    free = np.array([n.place != "juxta-pleural" for n in found])
    assert np.median(ratio) == pytest.approx(1.0, abs=0.04)
    round_ones = free & np.array([n.kind != "lobulated" for n in found])
    assert np.abs(ratio[round_ones] - 1).max() < 0.1
    assert np.abs(ratio[free] - 1).max() < 0.3
    assert ratio.min() > 0.6


def test_all_kinds_and_places_occur_and_lie_in_the_lung(scene):
    made, _, found = scene
    assert {n.kind for n in found} == set(nodules.KINDS)
    assert {n.place for n in found} == set(nodules.PLACES)
    points = np.array([n.centre for n in found], dtype=np.float32).T
    assert (lungs(made.anatomy, *points) < 0).all()


def test_ground_glass_is_paler_than_solid_and_calcium_is_brighter(scene):
    made, _, found = scene

    def middle(kind):
        values = []
        for nodule in (n for n in found if n.kind == kind and n.diameter_mm > 6):
            x, y, z = nodule.centre
            box = made.grid.box((x - 1.6, y - 1.6, z - 1.6), (x + 1.6, y + 1.6, z + 1.6))
            values.append(made.hu[box].max())
        return np.median(values) if values else None

    levels = [middle(kind) for kind in ("ground-glass", "solid", "calcified")]
    assert None not in levels
    assert -750 < levels[0] < -350
    assert 0 < levels[1] < 70
    assert levels[2] > 150
