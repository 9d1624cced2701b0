"""Streams of masks: read from any place, by any number of threads, they are the same."""

from functools import partial

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from medfed.aggregators.secure import masks as module
from medfed.aggregators.secure.fixed_point import CHUNK, Narrow, Wide
from medfed.aggregators.secure.masks import Masks, Reader, Stream
from medfed.core.errors import Refused

STREAMS = [Stream(bytes([n]) * 16, sign) for n, sign in ((1, 1), (2, -1), (3, 1))]
CODEC = Narrow(32, 1000.0, 3)


def keystream(key: bytes, size: int) -> np.ndarray:
    stream = Cipher(algorithms.AES128(key), modes.CTR(bytes(16))).encryptor().update(bytes(size))
    return np.frombuffer(stream, np.uint8)


@given(st.integers(0, 200), st.integers(0, 40))
def test_a_stream_goes_on_from_any_byte(start, words):
    found = np.zeros(words, np.uint32)
    Reader(STREAMS, start).onto(found)
    expected = np.zeros(words, np.uint32)
    for stream in STREAMS:
        piece = keystream(stream.key, start + 4 * words)[start:].copy().view(np.uint32)
        expected = expected + piece if stream.sign > 0 else expected - piece
    np.testing.assert_array_equal(found, expected)


def masked(monkeypatch, cores: int, values: np.ndarray) -> tuple[list[np.ndarray], int]:
    """A narrow and a wide region with masks on, as so many cores make them."""
    monkeypatch.setattr(module, "cores", lambda: cores)
    masks, clipped, found = Masks(STREAMS), 0, []
    for codec in (CODEC, Wide()):
        out = np.empty(codec.words * values.size, codec.word)

        def fill(start, stop, scale, to):
            np.multiply(values[start:stop], scale, out=to)

        clipped += masks.write(codec, values.size, fill, out)
        found.append(out)
    return found, clipped


@pytest.mark.parametrize("size", [1, 3 * CHUNK + 5, 17 * CHUNK, 40 * CHUNK + 3])
def test_the_count_of_cores_changes_no_bit(monkeypatch, size):
    values = 700 * np.random.default_rng(size).standard_normal(size)
    alone, clipped = masked(monkeypatch, 1, values)
    assert clipped == np.count_nonzero(np.abs(values) > 1000)
    for cores in (2, 3, 64):
        found, counted = masked(monkeypatch, cores, values)
        assert counted == clipped
        for one, other in zip(found, alone, strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_was_masked_by_many_is_read_by_one(monkeypatch):
    values = np.random.default_rng(0).standard_normal(20 * CHUNK + 1)
    (narrow, wide), _ = masked(monkeypatch, 4, values)
    off = Masks([Stream(stream.key, -stream.sign) for stream in STREAMS])
    for codec, words, good in ((CODEC, narrow, CODEC.step), (Wide(), wide, 2.0**-40)):
        out = np.empty(values.size)
        off.read(codec, values.size, lambda start, stop, of=words: of[start:stop], out)
        np.testing.assert_allclose(out, values, atol=good, rtol=0)


def test_no_byte_of_a_stream_masks_twice(monkeypatch):
    """Whoever saw two regions under the same bytes would see their difference."""
    size = CHUNK + 3
    (narrow, wide), _ = masked(monkeypatch, 1, np.zeros(size))
    whole = [keystream(stream.key, (4 + 16) * size) for stream in STREAMS]
    for words, begin in ((narrow, 0), (wide, 4 * size)):
        expected = np.zeros_like(words)
        for stream, own in zip(STREAMS, whole, strict=True):
            piece = own[begin : begin + words.nbytes].copy().view(words.dtype)
            expected = expected + piece if stream.sign > 0 else expected - piece
        np.testing.assert_array_equal(words, expected)


def test_a_refusal_in_any_thread_is_heard(monkeypatch):
    values = np.zeros(20 * CHUNK)
    values[-1] = np.nan
    with pytest.raises(Refused) as no:
        masked(monkeypatch, 2, values)
    assert no.value.name == "not-finite"


def test_nothing_is_masked_to_nothing():
    Masks(STREAMS).write(
        CODEC, 0, partial(pytest.fail, "nothing was asked for"), np.empty(0, np.uint32)
    )
