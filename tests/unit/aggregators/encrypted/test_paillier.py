"""Packed Paillier: the secure sum's sum to the last bit, and whose key is whose business."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.aggregators.secure.talking import Hospitals, Liar, updates_of

pytest.importorskip("heu", reason="the extra he is not installed, or has no wheel here")

from heu import phe

from medfed.aggregators.encrypted import paillier_keys as paillier
from medfed.aggregators.encrypted import paillier_scheme
from medfed.aggregators.encrypted.paillier import Paillier
from medfed.aggregators.encrypted.paillier_scheme import PaillierScheme
from medfed.aggregators.encrypted.pieces import packed, unpacked
from medfed.aggregators.secure.layout import Layout
from medfed.aggregators.secure.messages import message, table_of
from medfed.aggregators.secure.sum import SecureSum
from medfed.core.errors import QuorumError, Refused, RunError
from medfed.core.update import Update

BITS, PAYLOAD = paillier.BITS, paillier_scheme.PAYLOAD


@pytest.fixture(autouse=True)
def short_keys(monkeypatch):
    """The library takes seconds over a key of full length, wherever it is read."""
    monkeypatch.setattr(paillier, "BITS", 1024)
    monkeypatch.setattr(paillier_scheme, "PAYLOAD", 120)


@pytest.fixture
def full_keys(short_keys, monkeypatch):
    monkeypatch.setattr(paillier, "BITS", BITS)
    monkeypatch.setattr(paillier_scheme, "PAYLOAD", PAYLOAD)


@pytest.fixture(scope="module")
def kit():
    return phe.setup(phe.SchemaType.ZPaillier, 1024)


@pytest.fixture
def dealt(kit, monkeypatch):
    """The keys that the dealer makes, known to the test."""
    monkeypatch.setattr(PaillierScheme, "make", lambda self: kit)
    return kit


def hospitals(count=3, size=200, **how):
    return Hospitals(updates_of(count, size=size), Paillier(), **how)


def total_of(scheme, kit, updates, count=None):
    """What a sum of ciphertexts decrypts to."""
    layout = Layout.of(updates[0])
    streams = [
        scheme.encrypt(kit, scheme.written(update, layout), slice(None)) for update in updates
    ]
    summed = [scheme.add(kit, pieces) for pieces in zip(*streams, strict=True)]
    assert len(summed) == scheme.count(layout)
    figures = scheme.decrypt(kit, iter(summed), layout, count or len(updates))
    total = scheme.total(layout, figures)
    return total, scheme.notes(layout, total, figures, len(updates))


@pytest.mark.slow
def test_keys_of_full_length_hold_what_is_said(full_keys):
    made = paillier.make()
    assert paillier.opened(paillier.with_key(made), secret=True)
    assert int(made.public_key().plaintext_bound()).bit_length() > 8 * (
        PAYLOAD + paillier_scheme.COUNT
    )
    it_is_the_secure_sum(updates_of(3, size=500))


def test_it_is_the_secure_sum_bit_by_bit():
    it_is_the_secure_sum(updates_of(4, size=500))


def it_is_the_secure_sum(updates):
    secret = Hospitals(updates, SecureSum()).gather()
    federation = Hospitals(updates, Paillier())
    result = federation.gather()
    assert result.participants == tuple(updates)
    for name, value in secret.total.tensors.items():
        np.testing.assert_array_equal(result.total.tensors[name], value)
    for name, value in secret.total.stats.items():
        np.testing.assert_array_equal(result.total.stats[name], value)
    assert result.total.weights == secret.total.weights
    assert result.notes == secret.notes
    assert not result.by_site


def test_the_rounding_it_tells_holds():
    updates = updates_of(5, size=300)
    result = Hospitals(updates, Paillier()).gather()
    weight = sum(u.weights["model"] for u in updates.values())
    exact = sum(u.tensors["model/a"].astype(np.float64) for u in updates.values())
    apart = np.abs(result.total.tensors["model/a"] - exact).max() / weight
    last_bit = np.spacing(np.abs(exact).max().astype(np.float32)) / weight
    assert 0 < apart <= result.notes["rounding"] + last_bit


@settings(max_examples=6)
@given(st.integers(1, paillier_scheme.MOST), st.floats(1e-3, 1e9), st.integers(0, 2**32 - 1))
def test_sums_at_the_edge_of_the_range_are_exact(kit, sites, reach, seed):
    """As many sites as may be, each at the largest value: no number runs into its neighbour."""
    scheme, rng = PaillierScheme(reach, sites), np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], 150).astype(np.float32)
    update = Update(
        {"model/a": np.float32(reach) * signs, "buffers/n": 2.0**65 * signs[:5].astype(float)},
        {"model": 1.0},
    )
    layout = Layout.of(update)
    one = scheme.encrypt(kit, scheme.written(update, layout), slice(None))
    plain = [paillier.decrypted(kit, blob) * sites for blob in one]
    blobs = [paillier.encrypted(kit, number) for number in plain]
    figures = scheme.decrypt(kit, iter(blobs), layout, sites)
    total = scheme.total(layout, figures)
    wanted = sites * reach * signs.astype(np.float64)
    np.testing.assert_allclose(total.tensors["model/a"], wanted, rtol=1e-6)
    np.testing.assert_array_equal(total.tensors["buffers/n"], sites * update.tensors["buffers/n"])


def test_what_is_beyond_reach_is_clipped_and_counted(kit):
    update = Update({"model/a": np.array([5, -5, 1, 0.5] * 30, np.float32)}, {"model": 2.0})
    total, notes = total_of(PaillierScheme(1.0, 3), kit, [update] * 3)
    assert notes["clipped"] == 180
    np.testing.assert_allclose(total.tensors["model/a"][:4], [3, -3, 3, 1.5], rtol=1e-6)


@pytest.mark.parametrize("size", [0, 1, 29, 30, 31, 60])
def test_blocks_do_not_show(kit, size):
    update = Update({"model/a": np.arange(size, dtype=np.float32)}, {"model": 1.0})
    total, _ = total_of(PaillierScheme(1e3, 3), kit, [update, update])
    np.testing.assert_allclose(total.tensors["model/a"], 2 * update.tensors["model/a"], atol=1e-5)


@pytest.mark.parametrize("step", ["keys", "context", "encrypt"])
def test_a_lost_site_is_not_in_the_sum(step):
    result = hospitals(4, lost={step: {"s02"}}).gather()
    assert result.participants == ("s00", "s01", "s03")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["model/a", "sum"])
def test_what_is_not_finite_never_leaves(value, where):
    federation = hospitals(4)
    update = federation.updates["s01"]
    (update.tensors if where == "model/a" else update.stats)[where][0] = value
    federation.gather()
    assert federation.missing == {"s01": "not-finite"}


# --- keys and ciphertexts -------------------------------------------------------------------------


def test_keys_are_fresh():
    assert paillier.with_key(paillier.make()) != paillier.with_key(paillier.make())


def test_one_number_is_never_encrypted_alike_twice(kit):
    blobs = {paillier.encrypted(kit, 7) for _ in range(5)}
    assert len(blobs) == 5
    assert {paillier.decrypted(kit, blob) for blob in blobs} == {7}


def test_the_coordinator_never_sees_a_secret_key(dealt):
    kit = dealt
    federation = hospitals()
    federation.gather()
    secret = kit.secret_key().serialize()
    for _, _, reply in federation.said:
        for array in reply.tensors.values():
            assert secret[8:40] not in array.tobytes()
            assert secret[8:40].hex().encode() not in array.tobytes()
    with pytest.raises(Refused, match="lacks the secret key"):
        paillier.opened(paillier.without_key(kit), secret=True)
    with pytest.raises(Refused, match="holds the secret key"):
        paillier.opened(paillier.with_key(kit), secret=False)


def short():
    return phe.setup(phe.SchemaType.ZPaillier, 512)


def other_kind():
    return phe.setup(phe.SchemaType.FPaillier, 1024)


@pytest.mark.parametrize("made", [short, other_kind])
def test_keys_that_are_not_as_agreed_are_refused(made, monkeypatch):
    blob = paillier.with_key(made())
    with pytest.raises(Refused, match="no Paillier key of 1024 bits"):
        paillier.opened(blob, secret=True)
    monkeypatch.setattr(paillier, "_sized", lambda halves: True)  # what was read is looked at too
    with pytest.raises(Refused, match="no Paillier key of 1024 bits"):
        paillier.opened(blob, secret=True)


@pytest.mark.parametrize(("modulus", "rest"), [(8193, 100), (129, 60_000)])
def test_a_key_that_would_take_hours_to_read_is_not_read(kit, modulus, rest, monkeypatch):
    """The dealer's word would stop the coordinator and all sites, and not only the round."""
    monkeypatch.setattr(paillier, "_kit", lambda halves: pytest.fail("it was read"))
    texts = (msgpack_text(os.urandom(size - 1) + b"\0") for size in (modulus, rest))
    blob = b"\x92" + b"".join(texts) + kit.public_key().serialize()[-8:]
    with pytest.raises(Refused, match="no Paillier key of 1024 bits"):
        paillier.opened(b'{"public": "%s"}' % blob.hex().encode(), secret=False)


def msgpack_text(raw):
    if len(raw) < 256:
        return bytes([0xD9, len(raw)]) + raw
    return b"\xda" + len(raw).to_bytes(2, "big") + raw


def test_a_secret_key_of_another_pair_is_refused(kit):
    other = paillier.make()
    mixed = {"public": kit.public_key(), "secret": other.secret_key()}
    blob = repr({name: half.serialize().hex() for name, half in mixed.items()}).replace("'", '"')
    with pytest.raises(Refused, match="cannot be read"):
        paillier.opened(blob.encode(), secret=True)


@settings(max_examples=40)
@given(st.binary(max_size=2000))
def test_what_is_no_key_and_no_ciphertext_is_refused_in_words(kit, blob):
    for secret in (True, False):
        with pytest.raises(Refused, match="cannot be read"):
            paillier.opened(blob, secret=secret)
    with pytest.raises(ValueError, match="no ciphertext"):
        paillier.added(kit, None, blob)


@pytest.mark.parametrize("begin", [b"", b"\x91"])
@pytest.mark.parametrize("many", [b"\xdd", b"\xdf"])
def test_a_ciphertext_that_claims_to_be_long_takes_no_memory(kit, begin, many):
    blob = begin + many + b"\xff\xff\xff\xff" + bytes(95)
    with pytest.raises(ValueError, match="no ciphertext"):
        paillier.added(kit, None, blob)
    with pytest.raises(ValueError, match="no ciphertext"):
        paillier.decrypted(kit, blob)


def test_halves_of_keys_that_are_nonsense_are_refused(kit):
    whole = paillier.without_key(kit)
    for cut in (20, 200, len(whole) - 20):
        with pytest.raises(Refused):
            paillier.opened(whole[:cut] + b'"}', secret=False)
    texts = b"\x92" + 2 * msgpack_text(bytes(129))
    blobs = [b'{"public": "%s"}' % half for half in (b"00", b"zz", texts.hex().encode())]
    for blob in (*blobs, b'{"public": 3}', b"[]", b"{}"):
        with pytest.raises(Refused):
            paillier.opened(blob, secret=False)


def test_a_foreign_ciphertext_spoils_the_sum_and_the_openers_say_so():
    federation = hospitals()
    honest = federation.order

    def order(name, phase, received=None):
        reply = honest(name, phase, received)
        if name != "s02" or not phase.startswith("encrypt"):
            return reply
        other = short()
        count = len(reply.tensors["secure/sizes"])
        return message(table_of(reply), packed([paillier.encrypted(other, 5)] * count, count))

    federation.order = order
    with pytest.raises(QuorumError):
        federation.gather()
    assert federation.missing["s00"] == federation.missing["s01"] == "unsafe-sum"


def test_what_is_no_ciphertext_is_named_by_the_coordinator():
    federation = hospitals()
    honest = federation.order

    def order(name, phase, received=None):
        reply = honest(name, phase, received)
        if name != "s02" or not phase.startswith("encrypt"):
            return reply
        count = len(reply.tensors["secure/sizes"])
        return message(table_of(reply), packed([os.urandom(100)] * count, 1))

    federation.order = order
    with pytest.raises(RunError, match="s02 sent a ciphertext of another context"):
        federation.gather()


def opened_by(federation, change):
    """One site's part given to another site to open, as the sum of all."""
    liar = Liar(federation).keys()
    table = message({"adverts": liar.adverts, "layout": liar.layout})
    replies = {s: federation.order(s, f"context-{liar.name}", table) for s in liar.sites}
    sealed = replies["s00"].tensors["secure/context"]
    boxes = table_of(replies["s00"])["sealed"]
    for name in liar.sites:
        order = message({"sealed": boxes.get(name, "")}, {"context": sealed})
        part = federation.order(name, f"encrypt-{liar.name}", order)
    arrays = {n: part.tensors[f"secure/{n}"] for n in ("ciphertexts", "sizes")}
    table = {"participants": liar.sites}
    return federation.order("s01", f"open-{liar.name}", message(table, change(arrays)))


def test_a_single_part_does_not_pass_for_a_sum_as_it_is():
    with pytest.raises(Refused, match="not the sum of those sites"):
        opened_by(hospitals(4), lambda arrays: arrays)


def test_a_coordinator_that_lies_has_one_part_opened_as_the_documentation_says(dealt):
    """Four times the same part has the count of four sites' sum."""
    federation, scheme = hospitals(4), PaillierScheme(131072.0, 4)

    def four_times(arrays):
        whole = Update({f"secure/{name}": array for name, array in arrays.items()})
        fourfold = [scheme.add(dealt, (blob,) * 4) for blob in unpacked(whole)]
        return packed(fourfold, len(fourfold))

    values = opened_by(federation, four_times).tensors["secure/values"]
    victim = federation.updates["s03"]
    found = scheme.total(Layout.of(victim), values).tensors["model/a"] / 4
    np.testing.assert_allclose(found, victim.tensors["model/a"], atol=1e-3)
    assert "something else than the sum" in " ".join(Paillier().protection(4, 4))


def test_too_few_ciphertexts_are_refused():
    def first(arrays):
        size = arrays["sizes"][:1]
        return {"ciphertexts": arrays["ciphertexts"][: size[0]], "sizes": size}

    with pytest.raises(Refused):
        opened_by(hospitals(4), first)


def test_what_the_words_warn_of_is_true(dealt):
    """One site's key and what the coordinator has: another site's update."""
    federation = hospitals()
    federation.gather()
    (part,) = [r for step, who, r in federation.said if (step, who) == ("encrypt", "s01")]
    arrays = {f"secure/{n}": part.tensors[f"secure/{n}"] for n in ("ciphertexts", "sizes")}
    scheme, update = PaillierScheme(131072.0, 3), federation.updates["s01"]
    layout = Layout.of(update)
    found = scheme.total(layout, scheme.decrypt(dealt, unpacked(Update(arrays)), layout, 1))
    np.testing.assert_allclose(found.tensors["model/a"], update.tensors["model/a"], atol=1e-3)
    assert "one site together with the coordinator" in " ".join(Paillier().protection(3, 3))


def test_two_sites_that_decrypt_differently_stop_the_run():
    federation = hospitals()
    honest = federation.order

    def order(name, phase, received=None):
        reply = honest(name, phase, received)
        if name != "s01" or not phase.startswith("open"):
            return reply
        values = reply.tensors["secure/values"].copy()
        values[3] += 1e-9
        return message({}, {"values": values})

    federation.order = order
    with pytest.raises(RunError, match="s00 and s01 decrypted the sum differently"):
        federation.gather()


def test_without_the_package_a_study_is_refused_in_words(monkeypatch):
    monkeypatch.setattr("medfed.aggregators.encrypted.sum.find_spec", lambda name: None)
    with pytest.raises(Exception, match="paillier cannot be used here") as error:
        Paillier()
    assert "medfed[he]" in error.value.problems[0].remedy


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=60), max_size=20), st.integers(0, 30))
def test_ciphertexts_are_packed_whole_whatever_their_sizes(blobs, count):
    arrays = packed(blobs, count)
    assert list(arrays["sizes"]) == [len(blob) for blob in blobs]
    assert arrays["ciphertexts"].tobytes() == b"".join(blobs)
