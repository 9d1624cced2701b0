"""Whatever bytes come: a message or a WireError, and nothing large is looked at before its size."""

import contextlib
import dataclasses
import hashlib
import json
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st
from integration.federated import Recorder, go, study_of

from medfed.core.errors import REFUSALS, WireError
from medfed.federation import exchange, wire, wire_pb2
from medfed.federation.local import LocalChannel
from medfed.federation.site_folder import SiteFolder
from medfed.federation.wire import Order, Reply, Sealed, open_order, open_reply, seal, sha256
from medfed.services import run_sites
from medfed.services.sites import create_site, open_site, trust

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
ORDER = Order("run", "s", "north", 1, "train", "", 0, "{}", sha256(b""), 0)
REPLY = Reply("run", "north", ORDER.id, "", "", "", sha256(b""), 0)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KINDS = {"order": wire_pb2.Order, "reply": wire_pb2.Reply}


def signed(header, payload=b"", kind="order"):
    domain = f"medfed medfed.wire.v1.{kind.capitalize()}\0".encode()
    return Sealed(header, KEY.sign(domain + header), payload)


def opened(sealed, kind):
    """The message, or None where it is refused as it should be."""
    try:
        if kind == "order":
            return open_order(sealed, KEY.public_key())
        return open_reply(sealed, KEY.public_key(), "north")
    except WireError:
        return None


# --- any bytes ------------------------------------------------------------------------------------


def whole_or_refused(blob):
    try:
        sealed = Sealed.from_bytes(blob)
    except WireError:
        return
    assert b"".join(sealed.pieces()) == blob


@given(st.binary(max_size=300))
@example(struct.pack("<II", 2**32 - 1, 64) + bytes.fromhex(sha256(b"")))
@example(struct.pack("<II", 5, 0) + bytes.fromhex(sha256(b"")))
@example(struct.pack("<II", 0, 2**32 - 1) + bytes.fromhex(sha256(b"")))
def test_any_file_is_a_message_or_is_refused(blob):
    whole_or_refused(blob)


@given(st.binary(max_size=60), st.integers(0, 100), st.integers(0, 100), st.binary(max_size=40))
def test_any_lengths_are_a_message_or_are_refused(rest, header, signature, payload):
    lengths = struct.pack("<II", header, signature)
    whole_or_refused(lengths + bytes.fromhex(sha256(payload)) + rest + payload)


@given(st.sampled_from(list(KINDS)), st.binary(max_size=300), st.binary(max_size=30), st.booleans())
def test_any_header_is_a_message_or_is_refused(kind, header, payload, good):
    sealed = signed(header, payload, kind) if good else Sealed(header, payload, payload)
    assert opened(sealed, kind) is None  # by chance nobody names the hash of the payload


@given(st.data(), st.sampled_from(list(KINDS)), st.binary(max_size=30))
def test_any_fields_are_a_message_or_are_refused(data, kind, payload):
    message = KINDS[kind](payload_sha256=sha256(payload), payload_bytes=len(payload))
    of_type = {
        "string": TEXT | st.sampled_from(["train", "north", *REFUSALS]),
        "uint32": st.integers(0, 3) | st.integers(0, 2**32 - 1),
        "double": st.floats(),
    }
    for field in message.DESCRIPTOR.fields:
        if not field.name.startswith("payload"):
            name = {9: "string", 13: "uint32", 1: "double"}[field.type]
            setattr(message, field.name, data.draw(of_type[name], label=field.name))
    found = opened(signed(message.SerializeToString(), payload, kind), kind)
    if found is not None:
        assert wire.OLDEST <= found.version <= wire.VERSION
        again = opened(seal(found, KEY, payload), kind)
        assert dataclasses.astuple(again) == dataclasses.astuple(found)


@given(TEXT | st.recursive(TEXT | st.floats(), st.lists, max_leaves=8).map(json.dumps))
def test_any_body_is_read_or_is_refused(body):
    with contextlib.suppress(WireError):
        dataclasses.replace(ORDER, body=body).content()


@pytest.mark.parametrize("depth", [33, 500, 100_000])
@pytest.mark.parametrize("pair", ["[]", ('{"a":', "}")])
def test_a_body_that_is_nested_deep_is_refused(depth, pair):
    start, end = pair
    inner = "1" if start != "[" else ""
    body = start * depth + inner + end * depth
    with pytest.raises(WireError, match=r"nested deeper|not JSON"):
        dataclasses.replace(ORDER, body=body).content()
    assert dataclasses.replace(ORDER, body=start * 32 + inner + end * 32).content()


# --- bounds ---------------------------------------------------------------------------------------


def never(*_):
    pytest.fail("it was looked at")


@pytest.mark.parametrize(("kind", "most"), [("order", 16 * 2**20), ("reply", 64 * 2**10)])
def test_a_header_that_is_too_large_is_not_even_verified(kind, most, monkeypatch):
    monkeypatch.setattr(wire, "verify", never)
    opener = open_order if kind == "order" else lambda s, key: open_reply(s, key, "north")
    with pytest.raises(WireError, match=f"{most} are allowed"):
        opener(Sealed(bytes(most + 1), bytes(64)), KEY.public_key())


@pytest.mark.parametrize("length", [0, 63, 65, 10_000])
def test_a_signature_of_another_length_is_none(length, monkeypatch):
    monkeypatch.setattr(wire, "verify", never)
    with pytest.raises(WireError, match="not signed by"):
        open_order(Sealed(seal(ORDER, KEY).header, bytes(length)), KEY.public_key())


def test_a_payload_that_is_too_large_is_not_hashed(monkeypatch):
    payload = bytes(100)
    order = dataclasses.replace(ORDER, payload_bytes=100, payload_sha256=sha256(payload))
    sealed = seal(order, KEY, payload)
    assert open_order(sealed, KEY.public_key(), 100) == order
    reply = dataclasses.replace(REPLY, payload_bytes=100, payload_sha256=sha256(payload))
    answer = seal(reply, KEY, payload)
    monkeypatch.setattr(wire, "sha256", never)
    for check in (
        lambda: open_order(sealed, KEY.public_key(), 99),
        lambda: open_reply(answer, KEY.public_key(), "north", 99),
        lambda: open_order(Sealed(sealed.header, sealed.signature, b"x"), KEY.public_key()),
    ):
        with pytest.raises(WireError, match=r"99 are allowed|not the one that was signed"):
            check()


def test_a_site_takes_orders_up_to_its_own_bound(tmp_path, monkeypatch):
    create_site(tmp_path / "north", "north", None)
    trust(tmp_path / "north", KEY.public_key())
    file = tmp_path / "north" / "site.toml"
    assert SiteFolder(tmp_path / "north").settings().max_order_mb == 4096
    file.write_text(file.read_text() + "max_order_mb = 1\n")
    site = open_site(tmp_path / "north")
    for size, name in ((2**20, "not-approved"), (2**20 + 1, "malformed-order")):
        payload = bytes(size)
        order = dataclasses.replace(ORDER, payload_bytes=size, payload_sha256=sha256(payload))
        sealed = seal(order, KEY, payload)
        if name == "malformed-order":
            monkeypatch.setattr(wire, "verify", never)
        answer = site.handle(sealed)
        monkeypatch.undo()
        no = open_reply(answer, site.key.public_key(), "north")
        assert no.refusal == name
    assert "max_order_mb" in no.message


@pytest.mark.usefixtures("quick")
def test_a_reply_that_is_too_large_is_rejected_before_it_is_spooled(tmp_path, monkeypatch):
    """The bytes are there: everything is signed and named by its hash, only too much of it."""
    monkeypatch.setattr(exchange, "MAX_STATS", 200_000)
    monkeypatch.setattr(exchange, "MAX_HEADER", 1000)

    class Greedy(LocalChannel):
        def replies(self, timeout):
            for delivery in super().replies(timeout):
                site, reply = self._sites[delivery.site], delivery.reply
                if delivery.site == "centre":
                    payload = bytes(500_000)
                    found = open_reply(reply, site.key.public_key(), site.name)
                    size = {"payload_bytes": 500_000, "payload_sha256": sha256(payload)}
                    reply = seal(dataclasses.replace(found, **size), site.key, payload)
                yield dataclasses.replace(delivery, reply=reply)

    monkeypatch.setattr(run_sites, "LocalChannel", Greedy)
    monkeypatch.setattr(exchange.Exchange, "_check", lambda self, update: None)
    record = Recorder()
    study = study_of(rounds=1)
    go(study, tmp_path / "run", record)
    assert {(site, reason) for _, site, reason in record.missing()} >= {("centre", "rejected")}
    assert "the payload has 500000 bytes" in record.said()


# --- what a reply says ----------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_seconds_and_deadlines_are_lengths_of_time(seconds):
    with pytest.raises(WireError, match="seconds"):
        open_reply(
            seal(dataclasses.replace(REPLY, seconds=seconds), KEY), KEY.public_key(), "north"
        )
    sealed = seal(dataclasses.replace(ORDER, deadline=seconds), KEY)
    if seconds == float("inf"):  # it waits for ever: that is an answer
        assert open_order(sealed, KEY.public_key()).deadline == seconds
    else:
        with pytest.raises(WireError, match="deadline"):
            open_order(sealed, KEY.public_key())


def test_a_refusals_sentence_is_short_and_fit_for_a_terminal():
    text = "no\x1b[2Jdata\nhere\u202e" + "x" * 5000
    no = dataclasses.replace(REPLY, refusal="no-data", message=text)
    shown = open_reply(seal(no, KEY), KEY.public_key(), "north").message
    assert shown.startswith("no [2Jdata here x")
    assert len(shown) == wire.MAX_MESSAGE


@pytest.mark.parametrize("size", [0, 10, wire.REMEMBERED, wire.REMEMBERED + 1])
def test_a_hash_is_of_what_is_there_now(size):
    """The bytes hashed last are known by identity; what can change is hashed again."""
    several = [bytes(size), bytearray(size), b"x" * size, b"y" * size]
    for payload in [*several, *several, *several[::-1]]:
        assert sha256(payload) == hashlib.sha256(payload).hexdigest()
    kept = bytearray(b"first")
    assert sha256(kept) == hashlib.sha256(b"first").hexdigest()
    kept[:] = b"other"
    assert sha256(kept) == hashlib.sha256(b"other").hexdigest()
