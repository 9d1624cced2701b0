import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.imaging.geometry import Geometry, Volume

numbers = st.floats(-1000, 1000, allow_nan=False)
spacings = st.floats(0.05, 20)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    quaternion = np.array([draw(st.floats(-1, 1)) for _ in range(4)])
    norm = np.linalg.norm(quaternion)
    w, x, y, z = quaternion / norm if norm > 0.1 else (1.0, 0.0, 0.0, 0.0)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    rotation[:, 0] *= draw(st.sampled_from((1, -1)))
    rows = tuple(tuple(float(v) for v in row) for row in rotation)
    shape = tuple(draw(st.integers(1, 600)) for _ in range(3))
    spacing = tuple(draw(spacings) for _ in range(3))
    origin = tuple(draw(numbers) for _ in range(3))
    return Geometry(shape, spacing, origin, rows)


points = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=5)


@given(geometries(), points)
def test_index_and_world_are_inverses(grid: Geometry, index: list[tuple[float, ...]]) -> None:
    back = grid.to_index(grid.to_world(index))
    assert np.allclose(back, index, atol=1e-4)


@given(geometries(), points)
def test_world_agrees_with_simpleitk(grid: Geometry, index: list[tuple[float, ...]]) -> None:
    import SimpleITK as sitk

    image = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.origin_mm)
    image.SetDirection([v for row in grid.direction for v in row])
    expected = [image.TransformContinuousIndexToPhysicalPoint(p[::-1]) for p in index]
    assert np.allclose(grid.to_world(index), expected, atol=0.01)


@given(geometries())
def test_a_volume_contains_its_own_voxels_only(grid: Geometry) -> None:
    last = np.asarray(grid.shape) - 1
    assert grid.contains(grid.to_world([(0, 0, 0), last])).all()
    assert not grid.contains(grid.to_world([(-0.6, 0, 0), last + np.array([0, 0, 0.6])])).any()
    assert grid.matches(grid)


def test_grids_that_differ_do_not_match() -> None:
    grid = Geometry((10, 20, 30), (1.0, 1.0, 1.0))
    assert not grid.matches(Geometry((10, 20, 31), (1.0, 1.0, 1.0)))
    assert not grid.matches(Geometry((10, 20, 30), (1.0, 1.0, 1.001)))
    assert not grid.matches(Geometry((10, 20, 30), (1.0, 1.0, 1.0), (0.0, 0.0, 0.02)))
    assert grid.matches(Geometry((10, 20, 30), (1.0, 1.0, 1.0), (0.0, 0.0, 0.005)))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"shape": (0, 1, 1)}, "at least one voxel"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "positive"),
        ({"spacing_mm": (1.0, float("nan"), 1.0)}, "positive"),
        ({"origin_mm": (0.0, float("inf"), 0.0)}, "finite"),
        ({"direction": ((1.0, 0.0, 0.0), (0.2, 1.0, 0.0), (0.0, 0.0, 1.0))}, "orthonormal"),
    ],
)
def test_impossible_grids_are_refused(fields: dict[str, object], said: str) -> None:
    good: dict[str, object] = {"shape": (1, 1, 1), "spacing_mm": (1.0, 1.0, 1.0)}
    with pytest.raises(ValueError, match=said):
        Geometry(**{**good, **fields})


def test_a_volume_is_three_dimensional_and_int16() -> None:
    with pytest.raises(ValueError, match="three axes"):
        Volume(np.zeros((2, 2), np.int16), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="int16"):
        Volume(np.zeros((2, 2, 2), np.float32), (1.0, 1.0, 1.0))
