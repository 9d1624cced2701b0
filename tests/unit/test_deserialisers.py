"""Whatever bytes a deserialiser is given, it gives what they say or a sentence, never a traceback.

Orders, replies and payloads are fuzzed beside them (`test_wire_bounds`, `test_spool`).
"""

import contextlib
import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medfed.core.errors import DataError, MedfedError, Refused, SiteError, WireError
from medfed.core.files import read_lines
from medfed.core.update import Update
from medfed.federation.audit.verify import check_proof, prove, verify_folder
from medfed.federation.keys import load_key, load_public
from medfed.federation.receipts import make_receipt, sign_receipt, verify_receipt
from medfed.federation.site_folder import SiteFolder
from medfed.federation.wire import Order, sha256
from medfed.privacy.at_rest.envelope import ENVELOPE, Secret, make_envelope, open_envelope
from medfed.privacy.at_rest.stream import SealedBlob, sealed
from medfed.services.sites import create_site
from medfed.storage.models import read_model, write_model

ORDER = Order("run", "s", "north", 1, "train", "", 0, "{}", sha256(b""), 0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site with one receipt in its log."""
    folder = tmp_path_factory.mktemp("fuzz") / "north"
    opened = create_site(folder, "north", None)
    update = Update({"model/x": np.ones(3)}, {"model": 2.0})
    receipt = make_receipt(ORDER, "title", update, 5, 24, sha256(b""))
    kept = opened.folder.add_receipt(ORDER, sign_receipt(receipt, load_key(folder)))
    opened._logged("receipt", kept)
    return folder


def harmed(blob, data, most=5):
    """Some bytes set, inserted or cut."""
    changed = bytearray(blob)
    for _ in range(data.draw(st.integers(1, most))):
        at = data.draw(st.integers(0, max(len(changed) - 1, 0)))
        what = data.draw(st.sampled_from(["set", "insert", "cut"]))
        if what == "set" and changed:
            changed[at] = data.draw(st.integers(0, 255))
        elif what == "insert":
            changed[at:at] = data.draw(st.binary(min_size=1, max_size=6))
        else:
            del changed[at : at + data.draw(st.integers(1, 12))]
    return bytes(changed)


@given(st.dictionaries(st.text(max_size=10), JSON, max_size=4), st.data())
def test_a_receipt_that_was_changed_in_any_way_is_refused(site, extra, data):
    (good,) = SiteFolder(site).receipts()
    key = load_public(site / "key.pub")
    verify_receipt(good, key)
    changed = copy.deepcopy(good)
    name = data.draw(st.sampled_from(sorted(good)))
    changed[name] = data.draw(JSON)
    for receipt in (changed, {**good, **extra}, extra):
        if receipt != good:
            with pytest.raises(WireError):
                verify_receipt(receipt, key)


@given(st.data())
def test_a_line_file_is_read_or_refused(site, tmp_path_factory, data):
    (file,) = (site / "receipts").glob("*.jsonl")
    path = tmp_path_factory.getbasetemp() / "lines.jsonl"
    path.write_bytes(harmed(file.read_bytes(), data))
    with contextlib.suppress(DataError):
        read_lines(path)


@settings(max_examples=60)
@given(st.data())
def test_a_log_that_was_harmed_anywhere_is_found_so(site, data):
    """Verification never fails to end, and never calls a changed log good."""
    place = data.draw(st.sampled_from(["entries.jsonl", "checkpoint", "salt.key"]))
    file = site / "audit" / place
    good = file.read_bytes()
    bad = harmed(good, data)
    try:
        file.write_bytes(bad)
        verdict = verify_folder(site, "north", load_public(site / "key.pub"))
    finally:
        file.write_bytes(good)
    if _differs(place, bad, good):
        assert verdict.faults


def _differs(place, bad, good):
    """Whether it says something else than before: blanks in JSON do not."""
    if place == "checkpoint":
        return bad != good
    with contextlib.suppress(ValueError):
        *lines, _rest = bad.split(b"\n") if place == "entries.jsonl" else (bad, b"")
        *before, _ = good.split(b"\n") if place == "entries.jsonl" else (good, b"")
        return list(map(json.loads, lines)) != list(map(json.loads, before))
    return True


@given(JSON | st.dictionaries(st.sampled_from(["entry", "index", "proof", "checkpoint"]), JSON))
def test_any_json_is_a_proof_or_is_refused(site, given_json):
    key = load_public(site / "key.pub")
    with pytest.raises(WireError):
        check_proof(given_json, "north", key)


@given(st.sampled_from(["entry", "index", "proof", "checkpoint"]), JSON)
def test_a_proof_with_anything_in_it_is_good_or_refused(site, name, value):
    good = prove(site, 0)
    with contextlib.suppress(WireError):
        found = check_proof({**good, name: value}, "north", load_public(site / "key.pub"))
        assert found == good["entry"]


@given(st.data())
def test_a_model_file_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "m.safetensors"
    write_model(path, {"a": np.arange(6.0).reshape(2, 3), "b": np.array(3)}, {"round": 1})
    path.write_bytes(harmed(path.read_bytes(), data))
    with contextlib.suppress(DataError):
        read_model(path)


@given(st.data())
def test_a_sites_memory_is_read_or_refused(tmp_path_factory, data):
    folder = SiteFolder(tmp_path_factory.getbasetemp() / "memory")
    folder.propose_memory(ORDER, {"a": np.arange(6.0)})
    (file,) = folder.path.glob("runs/*/memory-*")
    file.write_bytes(harmed(file.read_bytes(), data))
    later = Order("run", "s", "north", 2, "train", "", 1, "{}", sha256(b""), 0)
    with contextlib.suppress(Refused):
        folder.memory(later)
    assert folder.stored_reply(later) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_no_sealed_file(tmp_path_factory, blob):
    path = tmp_path_factory.getbasetemp() / "blob"
    path.write_bytes(blob)
    with pytest.raises(DataError):
        SealedBlob(path, bytes(32), b"a")
    head = b"".join(sealed(b"", bytes(32), b"a"))[:47]
    path.write_bytes(head + blob)
    with pytest.raises(DataError):
        SealedBlob(path, bytes(32), b"a")


@given(JSON | st.dictionaries(st.sampled_from(["kind", "salt", "cost", "nonce", "wrapped"]), JSON))
def test_any_json_is_no_envelope(tmp_path_factory, given_json):
    folder = tmp_path_factory.getbasetemp()
    (folder / ENVELOPE).write_text(json.dumps(given_json))
    with pytest.raises(SiteError):
        open_envelope(folder, Secret("key-file", bytes(32)))


@given(st.sampled_from(["kind", "salt", "cost", "nonce", "wrapped", "version"]), JSON)
def test_an_envelope_with_anything_in_it_opens_or_is_refused(tmp_path_factory, name, value):
    folder, secret = tmp_path_factory.mktemp("envelope"), Secret("key-file", bytes(32))
    key = make_envelope(folder, secret)
    file = folder / ENVELOPE
    file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))
    with contextlib.suppress(MedfedError):
        assert open_envelope(folder, secret) == key
