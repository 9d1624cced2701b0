"""Payloads: round trips, files in the spool, and bytes that mean harm."""

import contextlib
import json
import math
import mmap
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load, save

from medfed.aggregators.compression import EightBits, HalfPrecision, TopK
from medfed.aggregators.mean import Mean
from medfed.core.errors import WireError
from medfed.core.update import Update
from medfed.federation import spool
from medfed.federation.spool import (
    SpooledUpdate,
    check_update,
    decode_update,
    encode_update,
    parked,
)

KINDS = st.sampled_from(
    ["<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "i1", "<u8", "<u4", "<u2", "u1"]
).map(np.dtype)
ARRAYS = KINDS.flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
NAMES = st.text(min_size=1, max_size=8).filter(lambda s: "::" not in s and not s.endswith(":"))
UPDATES = st.builds(
    Update,
    st.dictionaries(NAMES.map("g/{}".format), ARRAYS, max_size=4),
    st.dictionaries(NAMES, st.floats(0, 1e6), max_size=2),
    st.dictionaries(NAMES, ARRAYS, max_size=2),
)


def small():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 50)).astype(np.float32)
    tensors = {"model/x": x, "model/b": np.ones(3, np.float32), "c/n": np.arange(4)}
    return Update(tensors, {"model": 12.0, "c": 1.0}, {"hits": np.array([1, 2])})


EXPECTED = {
    "model/x": ((40, 50), "float32"),
    "model/b": ((3,), "float32"),
    "c/n": ((4,), "int64"),
}


def blob_of(header, data=b""):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + data


def entry(start, stop, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def same(left, right):
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert right[name].dtype == value.dtype
        assert right[name].shape == value.shape
        assert right[name].tobytes() == value.tobytes()


@given(UPDATES)
def test_a_payload_comes_back_as_it_went(update):
    back = decode_update(encode_update(update))
    same(back.tensors, update.tensors)
    same(back.stats, update.stats)
    assert back.weights == update.weights


@given(UPDATES)
def test_a_payload_is_what_safetensors_writes(update):
    arrays = {
        **{f"t:{name}": array for name, array in update.tensors.items()},
        **{f"w:{name}": np.array(weight) for name, weight in update.weights.items()},
        **{f"s:{name}": array for name, array in update.stats.items()},
    }
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    assert encode_update(update) == save(arrays)


def test_arrays_in_any_order_of_memory_and_python_numbers_travel():
    x = np.arange(6, dtype=np.float32).reshape(2, 3).T
    update = Update({"g/x": x, "g/y": x[::2]}, {"g": np.float32(2)}, {"n": np.float64(3)})
    back = decode_update(encode_update(update))
    np.testing.assert_array_equal(back.tensors["g/x"], x)
    np.testing.assert_array_equal(back.tensors["g/y"], x[::2])
    assert back.stats["n"] == 3
    assert back.weights == {"g": 2.0}


def test_reading_copies_nothing_and_gives_no_right_to_write():
    blob = bytearray(encode_update(small()))
    x = decode_update(blob).tensors["model/x"]
    assert np.shares_memory(x, np.frombuffer(blob, np.uint8))
    assert not x.flags.writeable


@pytest.mark.parametrize("update", [
    Update({"g/x": np.array(["a"])}),
    Update({"g/x": np.ones(2, complex)}),
    Update({"g/x": np.ones(2, bool)}),
    Update({"g/x": np.array([None])}),
    Update({"g/x::mine": np.ones(2)}),
    Update({"g/\ud800": np.ones(2)}),
])  # fmt: skip
def test_what_cannot_travel_is_refused_before_it_leaves(update):
    with pytest.raises(WireError):
        encode_update(update)


def test_a_file_is_read_like_the_update_it_holds(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(encode_update(small()))
    spooled = SpooledUpdate(path, "a")
    assert spooled.site == "a"
    assert set(spooled.names()) == set(EXPECTED)
    assert spooled.shape("model/x") == (40, 50)
    assert spooled.weights() == {"model": 12.0, "c": 1.0}
    assert spooled.stats()["hits"].tolist() == [1, 2]
    flat = small().tensors["model/x"].reshape(-1)
    np.testing.assert_array_equal(spooled.chunk("model/x", 30, 70), flat[30:70])


@pytest.mark.parametrize("pack", [None, HalfPrecision(), EightBits(smallest=10), TopK(smallest=10)])
def test_the_total_does_not_depend_on_how_files_are_laid_out(tmp_path, pack):
    updates = [Update({"model/a": np.random.default_rng(i).standard_normal(99).astype(np.float32),
                       "model/b": np.float32(i) * np.ones(4, np.float32)}, {"model": 1.0 + i})
               for i in range(3)]  # fmt: skip
    for i in (2, 0, 1):  # they arrive in another order than they are summed in
        update = updates[i] if pack is None else pack.pack(updates[i], {})[0]
        (tmp_path / f"{i}").write_bytes(encode_update(update))
        updates[i] = update
    spooled = [SpooledUpdate(tmp_path / f"{i}", str(i)) for i in range(3)]
    gathered = Mean().gather(lambda phase, each: spooled, {})
    turned = [Update(dict(reversed(u.tensors.items())), u.weights) for u in updates]
    for i, update in enumerate(turned):
        (tmp_path / f"t{i}").write_bytes(encode_update(update))
    again = [SpooledUpdate(tmp_path / f"t{i}", str(i)) for i in range(3)]
    assert gathered.participants == ("0", "1", "2")
    same(Mean().gather(lambda phase, each: again, {}).total.tensors, gathered.total.tensors)


def test_a_sound_update_passes_and_its_norm_is_known():
    update = small()
    exact = math.sqrt(sum(float(np.sum(v.astype(float) ** 2)) for v in update.tensors.values()))
    assert check_update(update, EXPECTED) == pytest.approx(exact, rel=1e-6)
    assert check_update(update) == check_update(decode_update(encode_update(update)), EXPECTED)
    for part, bound in ((HalfPrecision(), 1e-3), (EightBits(), 1e-2), (TopK(fraction=0.5), 0.3)):
        packed, _ = part.pack(update, {})
        assert check_update(packed, EXPECTED) == pytest.approx(exact, rel=bound)


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-10, 1e15, 1e36])
def test_norms_of_very_small_and_very_large_tensors(scale):
    x = np.full(100, scale, np.float32)
    expected = 10 * float(x[0])
    assert check_update(Update({"g/x": x}, {"g": 1.0})) == pytest.approx(expected, rel=1e-5)


def test_optional_groups_may_be_absent_but_not_in_part():
    x = {"model/x": np.ones(2, np.float32)}
    expected = {"model/x": ((2,), "float32"), "c/x": ((2,), "float32"), "c/y": ((2,), "float32")}
    update = Update(x, {"model": 1.0})
    check_update(update, expected, optional={"c"})
    with pytest.raises(WireError, match="lacks"):
        check_update(update, expected)
    part = Update({**x, "c/x": np.ones(2, np.float32)}, {"model": 1.0, "c": 1.0})
    with pytest.raises(WireError, match="c/y"):
        check_update(part, expected, optional={"c"})


ONE = np.ones(4, np.float32)
SPARSE = {"g/x::values": np.ones(2, np.float32), "g/x::shape": np.array([4], np.int64)}


@pytest.mark.parametrize(("tensors", "weight", "sentence"), [
    ({}, 1.0, "lacks the tensor"),
    ({"g/x": ONE, "g/y": ONE}, 1.0, "unknown tensor"),
    ({"g/x": ONE[:3]}, 1.0, "shape"),
    ({"g/x": ONE.reshape(2, 2)}, 1.0, "shape"),
    ({"g/x": ONE.astype(np.float64)}, 1.0, "float64 instead of float32"),
    ({"g/x": ONE.astype(np.int32)}, 1.0, "int32 instead of float32"),
    ({"g/x": ONE * np.float32(np.nan)}, 1.0, "NaN or infinity"),
    ({"g/x": ONE * np.float32(np.inf)}, 1.0, "NaN or infinity"),
    ({"g/x": ONE}, 0.0, "weight"),
    ({"g/x": ONE}, -1.0, "weight"),
    ({"g/x": ONE}, math.nan, "weight"),
    ({"g/x": ONE}, math.inf, "weight"),
    ({"g/x": ONE}, 1e18, "weight"),
    ({"g/x": ONE}, None, "lacks the weight"),
    ({"g/x": ONE.astype(np.float16), "g/x::scale": np.array(-1, np.float32)}, 1.0, "scale"),
    ({"g/x": ONE.astype(np.float16), "g/x::scale": np.array(np.nan, np.float32)}, 1.0, "scale"),
    ({"g/x": ONE.astype(np.float16) * np.float16(6e4),
      "g/x::scale": np.array(2.0**127, np.float32)}, 1.0, "infinity"),
    ({"g/x::indices": np.array([0, 4], np.int32), **SPARSE}, 1.0, "outside"),
    ({"g/x::indices": np.array([-1, 2], np.int32), **SPARSE}, 1.0, "outside"),
    ({"g/x::indices": np.array([2, 1], np.int32), **SPARSE}, 1.0, "rising"),
    ({"g/x::indices": np.array([2, 2], np.int64), **SPARSE}, 1.0, "rising"),
])  # fmt: skip
def test_a_wrong_update_is_refused_in_a_sentence(tensors, weight, sentence):
    update = Update(tensors, {} if weight is None else {"g": weight})
    update = decode_update(encode_update(update))
    with pytest.raises(WireError, match=sentence):
        check_update(update, {"g/x": ((4,), np.float32)})


def test_a_few_bytes_cannot_claim_a_huge_tensor_where_no_shape_is_known():
    tensors = {**SPARSE, "g/x::indices": np.arange(2), "g/x::shape": np.array([2**50])}
    update = decode_update(encode_update(Update(tensors, {"g": 1.0})))
    with pytest.raises(WireError, match="sparse"):
        check_update(update)
    with pytest.raises(WireError, match="shape"):
        check_update(update, {"g/x": ((4,), "float32")})


def test_statistics_bytes_and_groups_are_looked_at_too():
    with pytest.raises(WireError, match="statistic"):
        check_update(Update(stats={"loss": np.array(np.nan)}))
    with pytest.raises(WireError, match="may have 100"):
        check_update(small(), max_bytes=100)
    with pytest.raises(WireError, match="no group"):
        check_update(Update({"x": ONE}, {"x": 1.0}))
    unordered = np.arange(40_000, dtype=np.int32)
    unordered[16_384] = unordered[16_383]  # where one piece ends and the next begins
    tensors = {"g/x::indices": unordered, "g/x::values": np.ones(40_000, np.float32),
               "g/x::shape": np.array([50_000], np.int64)}  # fmt: skip
    with pytest.raises(WireError, match="rising"):
        check_update(Update(tensors, {"g": 1.0}), {"g/x": ((50_000,), "float32")})


@pytest.mark.parametrize("blob", [
    b"",
    b"\x01",
    struct.pack("<Q", 2**63) + b"{}",
    struct.pack("<Q", 20) + b"{}",
    blob_of(b"3"),
    blob_of(b" {}"),
    blob_of('{"t:a/b":1}'.encode("utf-16")),
    blob_of(b'{"t:g/\\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"1234"),
    blob_of({"__metadata__": {"format": "pt"}}),
    blob_of(b"[1]"),
    blob_of(b"nonsense"),
    blob_of(b"\xff\xfe"),
    blob_of(b"[" * 100_000),
    blob_of(b'{"t:g/x": 1}'),
    blob_of(b'{"t:g/x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, '
            b'"t:g/x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"1234"),
    blob_of({"t:g/x": entry(0, 4, [1])}),
    blob_of({"t:g/x": entry(0, 4, [1])}, b"12345678"),
    blob_of({"t:g/x": entry(0, 4, [1]), "t:g/y": entry(0, 4, [1])}, b"1234"),
    blob_of({"t:g/x": entry(0, 4, [1]), "t:g/y": entry(6, 10, [1])}, b"1234567890"),
    blob_of({"t:g/x": entry(0, 1, [1], "U8"), "t:g/y": entry(1, 5, [1])}, b"12345"),
    blob_of({"t:g/x": entry(4, 0, [1])}, b"1234"),
    blob_of({"t:g/x": entry(0, 4, [-1])}, b"1234"),
    blob_of({"t:g/x": entry(0, 4, [True])}, b"1234"),
    blob_of({"t:g/x": entry(0, 4, [1.0])}, b"1234"),
    blob_of({"t:g/x": entry(0, 4, [1], "BF16")}, b"1234"),
    blob_of({"t:g/x": entry(0, 4, [1], ["F32"])}, b"1234"),
    blob_of({"t:g/x": entry(0, 4, [2**62, 2**62])}, b"1234"),
    blob_of({"t:g/x": entry(0, 0, [0, 2**61, 2**61])}),
    blob_of({"t:g/x": entry(0, 4, [1] * 40)}, b"1234"),
    blob_of({"x": entry(0, 4, [1])}, b"1234"),
    blob_of({"t:": entry(0, 4, [1])}, b"1234"),
    blob_of({"w:g": entry(0, 4, [])}, b"1234"),
    blob_of({"w:g": entry(0, 8, [1], "F64")}, b"12345678"),
    blob_of({"t:g/x::scale": entry(0, 4, [])}, b"1234"),
])  # fmt: skip
def test_bytes_that_are_no_update(blob, tmp_path):
    with pytest.raises(WireError):
        decode_update(blob)
    path = tmp_path / "x"
    path.write_bytes(blob)
    with pytest.raises(WireError):
        SpooledUpdate(path, "a")


def test_a_header_beyond_all_reason_is_not_parsed(monkeypatch):
    monkeypatch.setattr(spool, "MAX_HEADER", 200)
    whole = encode_update(Update(stats={"n": np.array(1.0)}))
    decode_update(whole)
    monkeypatch.setattr(spool, "_header", None)  # nobody asks what is in it
    with pytest.raises(WireError, match="header that is too large"):
        decode_update(struct.pack("<Q", 201) + b" " * 201)


BLOBS = [
    encode_update(part.pack(small(), {})[0]) for part in (HalfPrecision(), EightBits(), TopK())
]
BLOBS.append(encode_update(small()))


@settings(max_examples=400)
@given(st.sampled_from(BLOBS), st.data())
def test_damaged_payloads_give_an_update_or_a_wire_error(blob, data):
    harmed = bytearray(blob)
    header = 8 + int.from_bytes(blob[:8], "little")
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(header + 64, len(harmed)) - 1))
        change = data.draw(st.sampled_from(["set", "digit", "cut", "insert"]))
        if change == "set":
            harmed[at] = data.draw(st.integers(0, 255))
        elif change == "digit":
            harmed[at] = data.draw(st.sampled_from(b'0123456789-[]{}",:.e'))
        elif change == "cut":
            del harmed[at : at + data.draw(st.integers(1, 8))]
        else:
            harmed[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        if len(harmed) < 9:
            break
    with contextlib.suppress(WireError):
        update = decode_update(harmed)
        # What we take for sound, safetensors' own reader takes for sound.
        load(bytes(harmed))
        check_update(update, EXPECTED)


@given(st.binary(max_size=200))
def test_any_bytes(blob):
    with contextlib.suppress(WireError):
        assert decode_update(blob) == Update()


def test_a_large_payload_is_kept_outside_of_memory_and_leaves_no_file(tmp_path, monkeypatch):
    payload = bytes(range(256)) * 5
    assert parked(payload, tmp_path) is payload
    monkeypatch.setattr(spool, "LARGE", len(payload))
    kept = parked(payload, tmp_path)
    assert bytes(kept) == payload
    assert isinstance(kept.obj, mmap.mmap)
    assert not list(tmp_path.iterdir())
