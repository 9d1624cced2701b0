"""Sealed files: what comes back, what any change does, and that a stretch opens by itself."""

import itertools
import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from medfed.core.errors import DataError
from medfed.privacy.at_rest import stream
from medfed.privacy.at_rest.stream import HEAD, SEGMENT, TAG, SealedBlob, is_sealed, sealed

KEY = bytes(range(32))
SIZES = st.one_of(
    st.integers(0, 300),
    st.sampled_from([SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 17]),
)


def written(path, content, key=KEY, what=b"a"):
    path.write_bytes(b"".join(sealed(content, key, what)))
    return path


def opened(path, key=KEY, what=b"a"):
    """By both ways: from the disk, and from memory."""
    blob = SealedBlob(path, key, what)
    found = bytes(blob.read(0, len(blob)))
    assert stream.opened(path.read_bytes(), key, what) == found
    return found


@settings(max_examples=40)
@given(size=SIZES, cuts=st.lists(st.integers(0, 4 * SEGMENT), max_size=5), data=st.data())
def test_it_comes_back_whole_and_in_any_stretch(tmp_path_factory, size, cuts, data):
    content = os.urandom(size)
    edges = [0, *sorted(cut for cut in cuts if cut < size), size]
    chunks = [content[a:b] for a, b in itertools.pairwise(edges)]
    path = written(tmp_path_factory.mktemp("s") / "f", chunks)
    assert opened(path) == content
    blob = SealedBlob(path, KEY, b"a")
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    assert bytes(blob.read(start, stop)) == content[start:stop]
    assert len(blob) == size
    assert is_sealed(path)


def test_each_segment_is_aes_gcm_under_a_key_of_the_files_own(tmp_path):
    """Worked out once more with the library's primitives, from the description of the format."""
    content = os.urandom(SEGMENT + 5)
    raw = written(tmp_path / "f", content, what=b"runs/x").read_bytes()
    salt, prefix = raw[8:40], raw[40:47]
    info = b"medfed at rest\x00runs/x"
    cipher = AESGCM(HKDF(SHA256(), 32, salt, info).derive(KEY))
    first, last = raw[47 : 47 + SEGMENT + 16], raw[47 + SEGMENT + 16 :]
    assert cipher.decrypt(prefix + b"\0\0\0\0\0", first, None) == content[:SEGMENT]
    assert cipher.decrypt(prefix + b"\0\0\0\1\1", last, None) == content[SEGMENT:]


def test_no_two_files_share_key_or_nonce(tmp_path):
    heads = {written(tmp_path / str(i), b"same").read_bytes()[8:HEAD] for i in range(50)}
    bodies = {(tmp_path / str(i)).read_bytes()[HEAD:] for i in range(50)}
    assert len(heads) == len(bodies) == 50


@given(place=st.integers(0, 2 * SEGMENT + 60), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(tmp_path_factory, place, bit):
    path = written(tmp_path_factory.mktemp("s") / "f", b"x" * 2 * SEGMENT)
    raw = bytearray(path.read_bytes())
    raw[place % len(raw)] ^= 1 << bit
    path.write_bytes(raw)
    with pytest.raises(DataError):
        opened(path)


def test_a_file_cannot_be_cut_short_grow_or_change_its_order(tmp_path):
    path = written(tmp_path / "f", os.urandom(3 * SEGMENT))
    raw, step = path.read_bytes(), SEGMENT + TAG
    one, two, three = (raw[HEAD + i * step : HEAD + (i + 1) * step] for i in range(3))
    head = raw[:HEAD]
    for harmed in (
        head + one + two,
        head + one,
        head,
        raw[:-1],
        raw[: HEAD - 1],
        b"",
        raw + b"\0" * 20,
        raw + three,
        head + two + one + three,
        head + two + three,
    ):
        path.write_bytes(harmed)
        with pytest.raises(DataError):
            opened(path)


def test_a_file_that_was_cut_short_is_not_even_opened(tmp_path):
    """Whoever reads the beginning only would take its new length for the true one."""
    path = written(tmp_path / "f", os.urandom(3 * SEGMENT))
    path.write_bytes(path.read_bytes()[: HEAD + 2 * (SEGMENT + TAG)])
    with pytest.raises(DataError):
        SealedBlob(path, KEY, b"a")


def test_another_key_another_place_and_another_file_open_nothing(tmp_path):
    one = written(tmp_path / "1", os.urandom(2 * SEGMENT))
    other = written(tmp_path / "2", os.urandom(2 * SEGMENT))
    for how in ({"key": bytes(32)}, {"what": b"b"}):
        with pytest.raises(DataError):
            opened(one, **how)
    mixed = one.read_bytes()[: HEAD + SEGMENT + TAG] + other.read_bytes()[HEAD + SEGMENT + TAG :]
    one.write_bytes(mixed)
    with pytest.raises(DataError):
        opened(one)


def test_reading_on_opens_a_segment_once(tmp_path, monkeypatch):
    path = written(tmp_path / "f", np.arange(40_000, dtype=np.float32).tobytes())
    blob = SealedBlob(path, KEY, b"a")
    calls = []
    pread = os.pread
    monkeypatch.setattr(stream.os, "pread", lambda *a: calls.append(a) or pread(*a))
    for start in range(0, SEGMENT, 1000):
        blob.read(start, start + 1000)
    assert len(calls) <= 2


def test_a_message_in_memory_opens_whole_and_unchanged_or_not_at_all():
    whole = b"".join(sealed(os.urandom(SEGMENT + 9), KEY, b"a"))
    bad = [whole[:-1], whole[: HEAD + SEGMENT + TAG], whole[:HEAD], b"", whole + b"x", b"x" + whole]
    bad += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (3, 20, 45, 60, -1)]
    for one in bad:
        with pytest.raises(DataError, match="a message was changed"):
            stream.opened(one, KEY, b"a")
    for key, what in ((bytes(32), b"a"), (KEY, b"b")):
        with pytest.raises(DataError, match="a message was changed"):
            stream.opened(whole, key, what)
