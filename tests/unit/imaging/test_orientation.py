"""Scans stacked as radiologists do, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.inference.threshold import oblique

from medfed.imaging.geometry import Geometry, Volume
from medfed.imaging.orientation import upright

permutations = st.permutations([0, 1, 2])
signs = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)


def turned(order, sign, degrees=0.0):
    """A grid whose axes are a signed permutation of an oblique grid's."""
    base = np.asarray(oblique(degrees)) if degrees else np.eye(3)
    matrix = base[:, list(order)] * np.asarray(sign)
    rows = tuple(tuple(row) for row in matrix.tolist())
    return Geometry((4, 5, 6), (2.5, 0.7, 0.9), (10.0, -20.0, 30.0), rows)


@given(permutations, signs, st.sampled_from([0.0, 12.0, 25.0]))
def test_an_upright_view_keeps_every_voxel_where_it_is(order, sign, degrees):
    grid = turned(order, sign, degrees)
    turn = upright(grid)
    hu = np.arange(np.prod(grid.shape), dtype=np.int16).reshape(grid.shape)
    standing = turn.volume(Volume(hu, grid.spacing_mm, grid.origin_mm, grid.direction))
    places = standing.geometry.to_world(np.stack(np.indices(standing.shape), -1))
    own = np.rint(grid.to_index(places)).astype(int)
    assert np.array_equal(hu[tuple(np.moveaxis(own, -1, 0))], standing.hu)
    index = (1.0, 2.0, 3.0)
    where = standing.geometry.to_world(index)
    assert np.allclose(grid.to_world(turn.index(index, grid)), where)


@given(permutations, signs)
def test_upright_axes_point_to_the_head_the_back_and_the_left(order, sign):
    grid = upright(turned(order, sign)).geometry(turned(order, sign))
    assert np.allclose(grid.direction, np.eye(3))


def test_a_view_is_written_through():
    grid = turned((2, 0, 1), (-1.0, 1.0, -1.0))
    labels = np.zeros(grid.shape, np.uint8)
    turn = upright(grid)
    turn.view(labels)[0, 1, 2] = 7
    own = tuple(int(v) for v in turn.index((0, 1, 2), grid))
    assert labels[own] == 7
    assert labels.sum() == 7


@pytest.mark.parametrize("degrees", [0.0, 10.0])
def test_what_stands_already_is_left_alone(degrees):
    direction = oblique(degrees) if degrees else Geometry((1, 1, 1), (1, 1, 1)).direction
    turn = upright(Geometry((4, 5, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), direction))
    assert turn.order == (0, 1, 2)
    assert turn.mirrored == (False, False, False)
