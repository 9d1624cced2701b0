"""A site answers every order, with an update or a public no, and keeps a receipt of what left."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.federated import go, study_of

from medfed.core.errors import REFUSALS, SiteError, WireError
from medfed.core.files import read_lines
from medfed.federation import wire_pb2
from medfed.federation.keys import load_key, load_public, make_key, verify
from medfed.federation.receipts import verify_receipt
from medfed.federation.site import Site
from medfed.federation.site_desk import Desk
from medfed.federation.site_folder import SiteFolder
from medfed.federation.site_settings import SiteSettings, init_site
from medfed.federation.site_work import Work
from medfed.federation.spool import decode_update, encode_update
from medfed.federation.wire import Order, Sealed, open_reply, seal, sha256
from medfed.frameworks.torch_job import TorchJob
from medfed.services import run_sites
from medfed.services.sites import create_site, open_site, trust

STUDY = study_of(rounds=2)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A finished run, and every message that passed."""
    passed = []

    class Channel(run_sites.LocalChannel):
        def send(self, orders):
            self.sent = {**getattr(self, "sent", {}), **dict(orders.values())}
            super().send(orders)

        def replies(self, timeout):
            for delivery in super().replies(timeout):
                passed.append((delivery.site, self.sent[delivery.order], delivery.reply))
                yield delivery

    out = tmp_path_factory.mktemp("site") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_sites, "LocalChannel", Channel)
        patch.setattr("medfed.services.reports.write_report", lambda *_: None)
        go(STUDY, out)
    return out, passed


@pytest.fixture
def north(recorded, tmp_path):
    """A copy of one site, the coordinator's key, and what passed between them."""
    out, passed = recorded
    shutil.copytree(out / "sites" / "north", tmp_path / "north")
    mine = [(order, reply) for site, order, reply in passed if site == "north"]
    return open_site(tmp_path / "north"), load_key(out / "coordinator"), mine


def read(site, reply):
    return open_reply(reply, site.key.public_key(), site.name)


def order_of(sealed, key, **changes):
    """The order inside a message, changed and signed again."""
    parsed = wire_pb2.Order.FromString(sealed.header)
    sent = [each.name for each in dataclasses.fields(Order) if each.init]
    fields = {name: getattr(parsed, name) for name in sent}
    return seal(Order(**fields | changes), key, sealed.payload)


def test_the_same_order_again_gets_the_stored_reply_and_no_work(north, monkeypatch):
    site, _, passed = north
    monkeypatch.setattr(Work, "answer", lambda self: pytest.fail("it worked again"))
    before = len(list(site.folder.receipts()))
    for order, reply in passed[-2:]:
        assert site.handle(order) == reply
    assert len(list(site.folder.receipts())) == before


def test_a_stored_reply_that_is_damaged_is_worked_out_again(north):
    site, _, passed = north
    order, reply = passed[-1]
    for file in sorted((site.folder.path / "runs").glob("*/reply/*")):
        file.write_bytes(file.read_bytes()[:-3])
    again = site.handle(order)
    assert not read(site, again).refusal
    assert again.payload == reply.payload


def test_nothing_leaves_once_the_approval_is_withdrawn(north):
    site, _, passed = north
    site.folder.revoke(STUDY.digest[:10])
    assert read(site, site.handle(passed[-1][0])).refusal == "not-approved"
    with pytest.raises(SiteError, match="no approved study"):
        site.folder.revoke(STUDY.digest)


def test_nothing_leaves_when_the_approval_is_withdrawn_during_the_work(north, monkeypatch):
    site, key, passed = north
    train = next(order for order, _ in passed if b"train" in order.header)
    work, folder = Work.answer, site.folder

    def withdrawn(self):
        done = work(self)
        SiteFolder(folder.path).revoke(STUDY.digest)  # as another process does
        return done

    monkeypatch.setattr(Work, "answer", withdrawn)
    before = len(list(folder.receipts()))
    sealed = site.handle(order_of(train, key, run="fresh"))
    reply = read(site, sealed)
    assert (reply.refusal, reply.payload_bytes, sealed.payload) == ("not-approved", 0, b"")
    assert len(list(folder.receipts())) == before
    assert not list((folder.path / "runs" / "fresh").glob("reply/*"))


def test_who_approved_is_kept_with_the_approval_and_goes_with_it(tmp_path):
    folder = SiteFolder(tmp_path)
    folder.approve(STUDY, "wang")
    assert folder.approval(STUDY.digest)[1] == "wang"
    folder.revoke(STUDY.digest)
    assert not list((tmp_path / "approved").iterdir())
    folder.approve(STUDY, "wang")
    folder.approve(STUDY)
    assert folder.approval(STUDY.digest)[1] == ""


def test_an_approval_that_was_changed_on_the_disk_approves_nothing(north):
    site, _, passed = north
    file = site.folder.path / "approved" / f"{STUDY.digest}.json"
    for content in (file.read_text().replace('"rounds":2', '"rounds":9'), "{", "[]", "{}"):
        file.write_text(content)
        assert read(site, site.handle(passed[-1][0])).refusal == "not-approved"
        assert site.folder.approvals() == []


WRONG = {
    "another site": ({"site": "south"}, "not-for-this-site"),
    "another study": ({"study": "0" * 64}, "not-approved"),
    "a path for a study": ({"study": "../../key"}, "malformed-order"),
    "a path for a run": ({"run": "../../../tmp"}, "malformed-order"),
    "an empty run": ({"run": ""}, "malformed-order"),
    "no JSON": ({"run": "fresh", "body": "{"}, "malformed-order"),
    "no fields": ({"run": "fresh", "body": "{}"}, "malformed-order"),
    "a list": ({"run": "fresh", "body": "[]"}, "malformed-order"),
    "an unknown query": ({"run": "fresh", "purpose": "query",
                           "body": '{"query": {"name": "all-rows"}, "facts": {}}'},
                         "missing-part"),
    "an unknown purpose": ({"purpose": "steal"}, "bad-signature"),
    "memory it never had": ({"run": "fresh", "memory": 7, "round": 8}, "stale-memory"),
    "another payload": ({"payload_sha256": sha256(b"x")}, "bad-signature"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_an_order_that_is_wrong_is_refused_by_name(what, north):
    site, key, passed = north
    changes, name = WRONG[what]
    train = next(order for order, _ in passed if b"train" in order.header)
    reply = read(site, site.handle(order_of(train, key, **changes)))
    assert reply.refusal == name
    assert reply.message


def test_an_order_of_a_round_left_behind_is_stale(north):
    site, key, passed = north
    train = next(order for order, _ in passed if b"train" in order.header)
    site.folder._replies = lambda order: {Path("later"): 9}
    reply = read(site, site.handle(order_of(train, key, round=3)))
    assert reply.refusal == "stale-order"


def test_only_the_coordinator_is_obeyed(north):
    site, _, passed = north
    order = passed[-1][0]
    stranger = order_of(order, Ed25519PrivateKey.generate())
    *kept, end = order.signature
    forged = Sealed(order.header, bytes([*kept, end ^ 1]), order.payload)
    for sealed in (stranger, forged, Sealed(order.header, b"", order.payload), passed[-1][1]):
        reply = read(site, site.handle(sealed))
        assert (reply.refusal, reply.order) == ("bad-signature", "")


def test_another_version_of_the_wire_is_refused_with_a_remedy(north):
    site, key, passed = north
    message = wire_pb2.Order.FromString(passed[-1][0].header)
    message.version = 99
    header = message.SerializeToString()
    sealed = Sealed(header, key.sign(b"medfed medfed.wire.v1.Order\0" + header))
    reply = read(site, site.handle(sealed))
    assert reply.refusal == "wire-version"
    assert "wire version 99, this site speaks 1 and 2. Update medfed at this site" in reply.message


@given(st.binary(max_size=200), st.binary(max_size=80), st.binary(max_size=80), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_whatever_comes_a_site_answers_and_never_works(north, header, signature, payload, signed):
    site, key, _ = north
    if signed:
        signature = key.sign(b"medfed medfed.wire.v1.Order\0" + header)
    reply = read(site, site.handle(Sealed(header, signature, payload)))
    assert reply.refusal in REFUSALS
    assert not reply.payload_bytes


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_orders_with_any_content_are_answered(north, data):
    site, key, _ = north
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    json_text = st.recursive(text | st.integers(), lambda x: st.lists(x, max_size=2), max_leaves=4)
    order = Order(
        run=data.draw(text), study=data.draw(st.sampled_from([STUDY.digest, "x"])), site="north",
        round=data.draw(st.integers(0, 2**32 - 1)),
        purpose=data.draw(st.sampled_from(["query", "train", "evaluate"])),
        phase=data.draw(text), memory=data.draw(st.integers(0, 2**32 - 1)),
        body=json.dumps(data.draw(json_text)), payload_sha256=sha256(b""), payload_bytes=0,
    )  # fmt: skip
    assert read(site, site.handle(seal(order, key))).refusal in REFUSALS


def test_a_failure_inside_says_nothing_of_patients(north, monkeypatch, capsys):
    site, key, passed = north
    train = next(order for order, _ in passed if b"train" in order.header)

    def fail(self):
        raise RuntimeError("Mrs Miller, born 1931-04-01, HIV positive")

    monkeypatch.setattr(Work, "_train", fail)
    order = order_of(train, key, run="another")
    reply = read(site, site.handle(order))
    assert reply.refusal == "training-failed"
    assert "Miller" not in reply.message
    assert "Traceback" not in reply.message
    assert "Miller" in (site.folder.path / "site.log").read_text()
    assert capsys.readouterr() == ("", "")


def test_a_site_that_cannot_write_its_log_still_answers_and_is_silent(
    north, monkeypatch, capsys, tmp_path
):
    log = tmp_path / "gone"
    log.mkdir()
    create_site(log / "s", "s", None)
    other = open_site(log / "s")
    shutil.rmtree(log)
    logging.raiseExceptions = True
    assert open_reply(
        other.handle(Sealed(b"", b"")), other.key.public_key(), "s"
    ).refusal == "bad-signature"  # fmt: skip
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("number", ["ENOSPC", "EFBIG", "EDQUOT"])
def test_no_space_at_a_site_has_a_name_of_its_own(north, monkeypatch, number):
    import errno

    site, key, passed = north

    def full(*_):
        raise OSError(getattr(errno, number), "no")

    monkeypatch.setattr(SiteFolder, "store_reply", full)
    order = order_of(passed[0][0], key, run="again")
    assert read(site, site.handle(order)).refusal == "out-of-space"


# --- receipts -------------------------------------------------------------------------------------


def test_there_is_a_receipt_for_every_reply_that_left(north):
    site, _, passed = north
    receipts = list(site.folder.receipts())
    assert [r["sha256"] for r in receipts] == [sha256(reply.payload) for _, reply in passed]
    assert {r["purpose"] for r in receipts} == {"query", "train", "evaluate"}
    for receipt, (_, reply) in zip(receipts, passed, strict=True):
        update = decode_update(reply.payload)
        assert receipt["bytes"] == len(reply.payload)
        assert {k for k, *_ in receipt["tensors"]} == {*update.tensors, *update.stats}
        for name, shape, dtype in receipt["tensors"]:
            value = {**update.tensors, **update.stats}[name]
            assert (shape, dtype) == (list(value.shape), str(value.dtype))
        norm = np.sqrt(sum(float((a.astype(float) ** 2).sum()) for a in update.tensors.values()))
        assert receipt["norm"] == pytest.approx(norm)
        assert receipt["study"] == STUDY.digest


def test_a_site_killed_between_receipt_and_reply_writes_no_second_receipt(north):
    site, _, passed = north
    before = list(site.folder.receipts())
    order, reply = passed[-1]
    for file in site.folder.path.glob("runs/*/reply/*"):
        file.unlink()  # as if it had never been stored
    again = open_site(site.folder.path)
    assert again.handle(order).payload == reply.payload
    assert list(again.folder.receipts()) == before
    assert len(before) == len(passed)


def test_receipts_count_the_patients_that_were_used(north):
    site, _, _ = north
    sets = Desk.open(STUDY, site.folder, site.settings, site.ledger).data
    by_purpose = {}
    for r in site.folder.receipts():
        by_purpose.setdefault(r["purpose"], set()).add(r["patients"])
    assert by_purpose["query"] == {sets.count("train")}
    assert by_purpose["train"] == {sets.count("train") + sets.count("valid")}
    assert sets.count("valid") in by_purpose["evaluate"]


def test_a_receipt_is_a_sentence(north):
    site, _, _ = north
    sentence = next(r["sentence"] for r in site.folder.receipts() if r["purpose"] == "train")
    assert 'Round 1 of "Three hospitals"' in sentence
    assert "a model update of 2 tensors" in sentence
    assert sentence.endswith(".")


def test_the_scoring_at_the_end_is_called_no_round(north):
    site, _, _ = north
    receipts = list(site.folder.receipts())
    last = max(r["round"] for r in receipts if r["purpose"] == "train")
    scored = [r["sentence"] for r in receipts if r["purpose"] == "evaluate"]
    assert scored
    for sentence in scored:
        assert sentence.startswith(f'Scoring of "Three hospitals" after round {last}: sent ')


@pytest.mark.parametrize("field", ["patients", "sha256", "sentence", "tensors", "site", "norm"])
def test_a_receipt_that_was_changed_is_found_out(north, field):
    site, _, _ = north
    receipt = next(iter(site.folder.receipts()))
    public = load_public(site.folder.path / "key.pub")
    verify_receipt(receipt, public)
    with pytest.raises(WireError):
        verify_receipt({**receipt, field: "other"}, public)
    with pytest.raises(WireError):
        verify_receipt({k: v for k, v in receipt.items() if k != field}, public)


@pytest.mark.parametrize("signature", [None, "", "zz", 5, "00" * 64])
def test_a_receipt_without_a_good_signature_is_none(north, signature):
    site, _, _ = north
    receipt = {**next(iter(site.folder.receipts())), "signature": signature}
    with pytest.raises(WireError):
        verify_receipt(receipt, site.key.public_key())


# --- folders and keys -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "id: is missing. The site's name; `name` means the same"),
        ("name = 5", "not text"),
        ("name = 'x'\ncolour = 1", "no such option"),
        ("name = 'x'\nmin_patients = 'many'", "not a whole number"),
        ("name = 'x'\nmin_patients = 0", "too small"),
        ("name = 'x'\ndata = 5", "not text"),
        ("name = ", "not valid TOML"),
    ],
)
def test_settings_that_are_wrong_are_explained(tmp_path, text, words):
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(SiteError, match=words) as caught:
        SiteFolder(tmp_path).settings()
    assert caught.value.exit_code == 4


def test_settings_round_trip(tmp_path):
    data = tmp_path / 'a "quoted" folder'
    data.mkdir()
    init_site(tmp_path / "s", "s", data, 7)
    assert SiteFolder(tmp_path / "s").settings().max_order_mb == 4096
    assert SiteFolder(tmp_path / "s").settings() == SiteSettings(
        name="s", data=data, min_patients=7
    )
    with pytest.raises(SiteError, match="already"):
        init_site(tmp_path / "s", "s", data)
    with pytest.raises(SiteError, match="is not a site name"):
        init_site(tmp_path / "t", 'x"\nevil = 1', None)


def test_keys_are_private_and_checked(tmp_path):
    key = make_key(tmp_path)
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0
    assert load_key(tmp_path).private_bytes_raw() == key.private_bytes_raw()
    with pytest.raises(WireError, match="not signed by me"):
        verify(key.public_key(), b"", b"x", "me")
    for name, loader in (("key.pem", load_key), ("key.pub", lambda p: load_public(p / "key.pub"))):
        (tmp_path / name).write_text("no key")
        with pytest.raises(SiteError):
            loader(tmp_path)


def test_a_site_without_a_pinned_coordinator_says_what_to_do(tmp_path):
    site = create_site(tmp_path / "s", "s", None)
    reply = read(site, site.handle(Sealed(b"", b"")))
    assert "medfed site trust" in reply.message
    trust(tmp_path / "s", Ed25519PrivateKey.generate().public_key())
    assert open_site(tmp_path / "s").coordinator is not None


def test_memory_is_confirmed_by_later_orders_and_two_versions_are_kept(tmp_path):
    folder = SiteFolder(tmp_path)
    order = Order("run", "s", "x", 1, "train", "", 0, "{}", "", 0)
    for round_ in range(1, 6):
        now = dataclasses.replace(order, round=round_, memory=round_ - 1)
        before = folder.memory(now)
        assert not before if round_ == 1 else before["a"] == round_ - 1
        folder.propose_memory(now, {"a": np.array(float(round_))})
    kept = sorted(f.name for f in (tmp_path / "runs" / "run").iterdir())
    assert kept == [f"memory-00000{n}.safetensors" for n in (3, 4, 5)]
    assert folder.memory(dataclasses.replace(order, memory=5))["a"].shape == ()


def test_receipts_survive_a_crash_in_the_middle_of_a_line(north):
    site, _, _ = north
    file = next((site.folder.path / "receipts").glob("*.jsonl"))
    whole = read_lines(file)
    file.write_bytes(file.read_bytes()[:-20])
    assert list(site.folder.receipts()) == whole[:-1]
    assert encode_update(decode_update(b"\x02\0\0\0\0\0\0\0{}"))
    assert isinstance(site, Site)


def test_rounds_are_watched_and_the_final_figures_come_from_whole_sets(tmp_path, monkeypatch):
    asked = []
    for name in ("watch", "evaluate"):
        original = getattr(TorchJob, name)

        def noting(self, model, on, name=name, plain=original):
            asked.append((name, on))
            return plain(self, model, on)

        monkeypatch.setattr(TorchJob, name, noting)
    study = study_of(rounds=2)
    go(study, tmp_path / "run")
    sites = len(study.sites)
    assert [name for name, _ in asked] == ["watch"] * 3 * sites + ["evaluate"] * sites
    assert {on for name, on in asked if name == "evaluate"} == {"test"}
