"""Half precision, eight bits and the largest elements, the latter two with error feedback."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfed.aggregators.compression import EightBits, HalfPrecision, TopK, largest
from medfed.core import registry
from medfed.core.errors import WireError
from medfed.core.packing import (
    BLOCK,
    MARK,
    PackedUpdate,
    logical,
    pack_bytes,
    pack_half,
    pack_sparse,
    unpack,
)
from medfed.core.registry import Part
from medfed.core.update import Update

SEEDS = st.integers(0, 2**32)


def noise(seed, size, spread=0.0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(size) * 10.0 ** (spread * rng.standard_normal(size))).astype(dtype)


@given(SEEDS, st.integers(1, 200), st.integers(-110, 110))
def test_half_precision_keeps_eleven_bits(seed, size, exponent):
    x = noise(seed, size, 0.5) * np.float32(2.0**exponent)
    back = unpack(pack_half("g/x", x))["g/x"]
    assert back.dtype == np.float32
    bound = np.maximum(2.0**-11 * np.abs(x), 2.0**-39 * np.abs(x).max())
    assert np.all(np.abs(back.astype(float) - x) <= bound)


@pytest.mark.parametrize("value", [0.0, 1e-45, 3.4e38, -3.4e38, 65504.0, 65520.0, 1.0])
def test_half_precision_at_the_ends_of_the_scale(value):
    x = np.full((2, 3), value, np.float32)
    back = unpack(pack_half("g/x", x))["g/x"]
    assert back.shape == (2, 3)
    np.testing.assert_allclose(back, x, rtol=2**-11)


def test_what_half_precision_cannot_hold_goes_as_it_is():
    for x in (np.array([np.nan, 1.0]), np.array([np.inf]), np.array([1e300])):
        assert list(pack_half("g/x", x)) == ["g/x"]


@given(SEEDS, st.integers(1, 3 * BLOCK), st.integers(-110, 110))
def test_eight_bits_are_off_by_half_a_step_of_their_block(seed, size, exponent):
    x = noise(seed, size, 0.5) * np.float32(2.0**exponent)
    back = unpack(pack_bytes("g/x", x))["g/x"]
    assert back.dtype == np.float32
    for start in range(0, size, BLOCK):
        block = slice(start, start + BLOCK)
        step = np.abs(x[block]).max().astype(float) / 127
        assert np.all(np.abs(back[block].astype(float) - x[block]) <= 0.5001 * step)


@pytest.mark.parametrize("value", [0.0, 1e-45, 1e-38, 3.4e38, -3.4e38, 1.0])
def test_eight_bits_at_the_ends_of_the_scale(value):
    x = np.full((2, 3), value, np.float32)
    back = unpack(pack_bytes("g/x", x))["g/x"]
    assert back.shape == (2, 3)
    # A block whose step would be no normal number of float32 is sent as zeros.
    np.testing.assert_allclose(back, x, rtol=1e-6, atol=127 * np.finfo(np.float32).tiny)


def test_what_eight_bits_cannot_hold_goes_as_it_is():
    for x in (np.array([np.nan, 1.0]), np.array([np.inf]), np.array([1e300])):
        assert list(pack_bytes("g/x", x)) == ["g/x"]


@given(SEEDS, st.integers(1, 300), st.data())
def test_a_chunk_of_a_packed_tensor_is_that_part_of_it(seed, size, data):
    x = noise(seed, size)
    indices = largest(x, max(1, size // 3))
    start, stop = sorted(data.draw(st.tuples(st.integers(0, size), st.integers(0, size))))
    for tensors in (
        {"g/x": x},
        pack_half("g/x", x),
        pack_bytes("g/x", x),
        pack_sparse("g/x", x.shape, indices, x[indices]),
    ):
        packed = logical(tensors)["g/x"]
        assert packed.shape == x.shape
        assert packed.dtype == np.float32
        assert not packed.flaw()
        np.testing.assert_array_equal(packed.chunk(start, stop), unpack(tensors)["g/x"][start:stop])


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.data())
def test_the_largest_are_chosen_the_same_way_always(values, data):
    x = np.array(values, np.float32)
    count = data.draw(st.integers(1, x.size))
    chosen = largest(x, count)
    best = sorted(range(x.size), key=lambda i: (-abs(x[i]), i))[:count]
    assert chosen.tolist() == sorted(i for i in best if x[i])


@given(SEEDS, st.integers(1, 3 * BLOCK), st.data())
def test_a_chunk_across_blocks_is_that_part_of_it(seed, size, data):
    tensors = pack_bytes("g/x", noise(seed, size, 1.0))
    start, stop = sorted(data.draw(st.tuples(st.integers(0, size), st.integers(0, size))))
    part = logical(tensors)["g/x"].chunk(start, stop)
    np.testing.assert_array_equal(part, unpack(tensors)["g/x"][start:stop])


@given(
    st.sampled_from([TopK(fraction=0.05, smallest=10), EightBits(smallest=10)]),
    SEEDS,
    st.sampled_from([np.float32, np.float64]),
    st.lists(st.floats(0.5, 1e4), min_size=1, max_size=6),
)
def test_error_feedback_loses_nothing_even_when_weights_change(part, seed, dtype, weights):
    mine = {}
    truth, sent = np.zeros((10, 20)), np.zeros((10, 20))
    for turn, weight in enumerate(weights):
        delta = noise(seed + turn, (10, 20), 0.5, dtype)
        update, mine = part.pack(Update({"model/x": weight * delta}, {"model": weight}), mine)
        truth += delta
        sent += unpack(update.tensors)["model/x"].astype(float) / weight
    left = mine["residual/model/x"]
    assert left.dtype == dtype
    scale = sum(np.abs(noise(seed + t, (10, 20), 0.5, dtype)).max() for t in range(len(weights)))
    np.testing.assert_allclose(sent + left, truth, atol=2e-6 * scale)


def test_top_k_sends_the_share_it_says():
    x = noise(0, (40, 50))
    update, _ = TopK(fraction=0.01).pack(Update({"model/x": x}, {"model": 2.0}), {})
    assert update.tensors[f"model/x{MARK}values"].size == 20
    assert update.tensors[f"model/x{MARK}indices"].dtype == np.int32
    assert PackedUpdate("a", update).nbytes < 0.04 * x.nbytes


def test_eight_bits_send_a_quarter():
    x = noise(0, (40, 50))
    update, _ = EightBits().pack(Update({"model/x": x}, {"model": 2.0}), {})
    assert update.tensors["model/x"].dtype == np.int8
    assert PackedUpdate("a", update).nbytes < 0.26 * x.nbytes


@pytest.mark.parametrize("part", [TopK(), EightBits(), HalfPrecision()])
def test_small_and_whole_numbered_tensors_stay_dense(part):
    tensors = {"model/n": np.arange(5000), "model/b": np.ones(8, np.float32)}
    mine = {"other/thing": np.ones(1)}
    update, after = part.pack(Update(tensors, {"model": 1.0}, {"loss": np.array(1.0)}), mine)
    assert dict(update.tensors) == tensors
    assert after == mine
    assert update.stats == {"loss": np.array(1.0)}


@pytest.mark.parametrize("part", [TopK(), EightBits()])
def test_what_is_not_finite_is_sent_dense_for_the_check_to_refuse(part):
    x = noise(0, 2000)
    first, mine = part.pack(Update({"model/x": x}, {"model": 1.0}), {})
    x[7] = np.nan
    second, after = part.pack(Update({"model/x": x}, {"model": 1.0}), mine)
    assert list(second.tensors) == ["model/x"]
    np.testing.assert_array_equal(after["residual/model/x"], mine["residual/model/x"])
    assert len(first.tensors) > 1


def test_a_residual_of_another_shape_is_forgotten():
    _, mine = TopK().pack(Update({"model/x": noise(0, 2000)}, {"model": 1.0}), {})
    _, after = TopK().pack(Update({"model/x": noise(0, 3000)}, {"model": 1.0}), mine)
    assert after["residual/model/x"].shape == (3000,)


def test_the_parts_are_registered():
    assert isinstance(registry.make("compression", Part("fp16")), HalfPrecision)
    assert isinstance(registry.make("compression", Part("int8")), EightBits)
    assert registry.make("compression", Part("top-k", {"fraction": 0.1})).fraction == 0.1


INDICES, VALUES = np.array([1, 4], np.int32), np.ones(2, np.float32)
SHAPE = np.array([5], np.int64)


@pytest.mark.parametrize(
    "tensors",
    [
        {"g/x::scale": np.array(1, np.float32)},
        {"g/x": VALUES, "g/x::scale": np.array(1, np.float32)},
        {"g/x": VALUES.astype(np.float16), "g/x::scale": np.ones(1, np.float32)},
        {"g/x": VALUES, "g/x::other": VALUES},
        {"g/x": VALUES, "g/x::scales": np.ones(1, np.float32)},
        {"g/x": VALUES.astype(np.int8), "g/x::scales": np.ones(2, np.float32)},
        {"g/x": VALUES.astype(np.int8), "g/x::scales": np.ones(1)},
        {"g/x::indices": INDICES, "g/x::values": VALUES},
        {"g/x::indices": INDICES, "g/x::values": VALUES, "g/x::shape": -SHAPE},
        {"g/x::indices": INDICES, "g/x::values": VALUES[:1], "g/x::shape": SHAPE},
        {"g/x::indices": INDICES.astype(float), "g/x::values": VALUES, "g/x::shape": SHAPE},
        {"g/x::indices": INDICES, "g/x::values": VALUES.astype(float), "g/x::shape": SHAPE},
        {"g/x::indices": INDICES, "g/x::values": VALUES, "g/x::shape": SHAPE * 2**40},
    ],
)
def test_unknown_packings_are_refused(tensors):
    with pytest.raises(WireError):
        logical(tensors)
