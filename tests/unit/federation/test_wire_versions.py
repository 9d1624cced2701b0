"""Two neighbouring wire versions understand each other; others are refused in words."""

import dataclasses
import functools
import shutil
from pathlib import Path

import pytest
from conformance.flower_grid import GridChannel
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from integration.federated import SITES, Recorder, go, outcome, study_of

from medfed.core.errors import REFUSALS, WireError, WireVersionError
from medfed.federation import wire, wire_pb2
from medfed.federation.keys import load_public
from medfed.federation.local import LocalChannel, WorkerChannel
from medfed.federation.site_work import Work
from medfed.federation.spool import decode_update
from medfed.federation.wire import Order, Sealed, open_order, open_reply, seal, sha256
from medfed.services import run_sites
from medfed.services.sites import create_site, open_site, trust

RECORDED = Path(__file__).parent / "recorded" / "v1"
STUDY = study_of(rounds=2)


def recorded(name):
    return Sealed.from_bytes((RECORDED / f"{name}.bin").read_bytes())


def public(name):
    return load_public(RECORDED / f"{name}.pub")


def version_of(sealed):
    """The version in a header, whichever message it is of."""
    return wire_pb2.Order.FromString(sealed.header[:2]).version


def of_version(version, sealed, key, kind=wire_pb2.Order):
    """The same message as a program of another version would write it."""
    message = kind.FromString(sealed.header)
    message.version = version
    header = message.SerializeToString(deterministic=True)
    domain = f"medfed {kind.DESCRIPTOR.full_name}\0".encode()
    return Sealed(header, key.sign(domain + header), sealed.payload)


# --- what version 1 wrote -------------------------------------------------------------------------


def test_an_order_that_version_1_wrote_is_read():
    sealed = recorded("order")
    order = open_order(sealed, public("coordinator"))
    assert (order.version, order.run, order.site, order.round) == (1, "made-up-run", "north", 3)
    assert (order.purpose, order.phase, order.memory, order.deadline) == ("train", "update", 2, 0)
    assert order.content()["facts"] == {"scaling": {"mean": [1.5]}}
    assert decode_update(sealed.payload).tensors["model/weight"].shape == (2, 3)
    assert f"{order.id}\n" == (RECORDED / "order-id.txt").read_text()


def test_a_reply_that_version_1_wrote_is_read():
    sealed = recorded("reply")
    reply = open_reply(sealed, public("site"), "north")
    order = open_order(recorded("order"), public("coordinator"))
    assert (reply.version, reply.order, reply.seconds) == (1, order.id, 0)
    assert reply.base_sha256 == order.payload_sha256
    assert decode_update(sealed.payload).weights == {"model": 12.0}


@pytest.mark.parametrize(("name", "opener"), [("order", open_order), ("reply", open_reply)])
def test_version_1_is_written_as_version_1_wrote_it(name, opener):
    key = Ed25519PrivateKey.generate()
    more = ("north",) if name == "reply" else ()
    theirs = recorded(name)
    message = opener(theirs, public("coordinator" if name == "order" else "site"), *more)
    assert seal(message, key, theirs.payload).header == theirs.header
    later = dataclasses.replace(message, **{"deadline" if name == "order" else "seconds": 5.0})
    assert seal(later, key, theirs.payload).header == theirs.header


def test_what_a_site_of_version_1_says_to_a_newer_order_is_understood():
    no = open_reply(recorded("refusal"), public("site"), "north")
    assert (no.version, no.refusal, no.order) == (1, "bad-signature", "")
    assert wire.version_wanted(no, sent=2) == 1
    assert wire.version_wanted(no, sent=1) is None
    other = dataclasses.replace(no, message="the message is not signed by the coordinator")
    assert wire.version_wanted(other, sent=2) is None


def test_the_id_of_an_order_is_the_same_in_every_version_and_for_every_deadline():
    order = open_order(recorded("order"), public("coordinator"))
    newer = dataclasses.replace(order, version=2, deadline=60.0)
    assert newer.id == order.id
    assert dataclasses.replace(order, round=4).id != order.id


# --- a site ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """A finished run with its sites, and an order that north has answered."""
    passed = []

    class Channel(LocalChannel):
        def send(self, orders):
            passed.extend(sealed for site, (_, sealed) in orders.items() if site == "north")
            super().send(orders)

    out = tmp_path_factory.mktemp("versions") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_sites, "LocalChannel", Channel)
        go(STUDY, out)
    return out, next(sealed for sealed in reversed(passed) if b"train" in sealed.header)


@pytest.fixture
def north(past, tmp_path):
    """A copy of the site that trusts a key of ours, and an opened order to it."""
    out, sealed = past
    shutil.copytree(out / "sites" / "north", tmp_path / "north")
    site = open_site(tmp_path / "north")
    order = open_order(sealed, site.coordinator)
    key = Ed25519PrivateKey.generate()
    site.coordinator = key.public_key()
    return site, key, order, sealed.payload


def read(site, reply):
    return open_reply(reply, site.key.public_key(), site.name)


@pytest.mark.parametrize("version", [1, 2])
def test_an_order_is_answered_in_its_own_version(version, north):
    site, key, order, payload = north
    order = dataclasses.replace(order, version=version, run="another", memory=0, deadline=1e-9)
    sealed = site.handle(seal(order, key, payload))
    reply = read(site, sealed)
    assert (reply.refusal, reply.version, version_of(sealed)) == ("", version, version)
    assert (reply.seconds > 0) == (version == 2)
    no = read(site, site.handle(seal(dataclasses.replace(order, site="x"), key, payload)))
    assert (no.refusal, no.version) == ("not-for-this-site", version)
    assert ("it may be late" in (site.folder.path / "site.log").read_text()) == (version == 2)


def test_a_stored_reply_is_sent_again_in_the_version_it_is_asked_in(north, monkeypatch):
    site, key, order, payload = north
    monkeypatch.setattr(Work, "answer", lambda self: pytest.fail("it worked again"))
    receipts = len(list(site.folder.receipts()))
    replies = [
        site.handle(seal(dataclasses.replace(order, version=v, deadline=d), key, payload))
        for v, d in ((2, 60.0), (1, 0.0), (2, 9.0))
    ]
    assert [read(site, reply).version for reply in replies] == [2, 1, 2]
    assert replies[0] == replies[2]
    assert len({bytes(reply.payload) for reply in replies}) == 1
    assert len({read(site, reply).order for reply in replies}) == 1
    assert len(list(site.folder.receipts())) == receipts


@pytest.mark.parametrize(
    ("version", "answered_in", "where"),
    [(0, 1, "the coordinator"), (3, 2, "this site"), (99, 2, "this site"), (2**32 - 1, 2, "this")],
)
def test_an_unknown_version_is_refused_with_both_versions(version, answered_in, where, north):
    site, key, order, payload = north
    sealed = of_version(version, seal(order, key, payload), key)
    no = read(site, site.handle(sealed))
    assert (no.refusal, no.version) == ("wire-version", answered_in)
    assert f"has wire version {version}, this site speaks 1 and 2" in no.message
    assert f"Update medfed at {where}" in no.message
    assert "wire-version" in REFUSALS


@pytest.mark.parametrize("version", [1, 2])
def test_a_stranger_is_refused_in_the_version_it_speaks(version, north):
    site, _, order, payload = north
    stranger = Ed25519PrivateKey.generate()
    sealed = seal(dataclasses.replace(order, version=version), stranger, payload)
    no = read(site, site.handle(sealed))
    assert (no.refusal, no.version) == ("bad-signature", version)


@pytest.mark.parametrize("version", [0, 3])
def test_a_reply_of_an_unknown_version_says_which_side_to_update(version):
    key = Ed25519PrivateKey.generate()
    message = dataclasses.replace(open_reply(recorded("reply"), public("site"), "north"))
    payload = recorded("reply").payload
    sealed = of_version(version, seal(message, key, payload), key, wire_pb2.Reply)
    with pytest.raises(WireVersionError, match="this coordinator speaks 1 and 2") as caught:
        open_reply(sealed, key.public_key(), "north")
    assert ("site north" in caught.value.remedy) == (version == 0)
    assert caught.value.exit_code == 6


# --- a run with sites of several versions ---------------------------------------------------------


class OldSite:
    """A site of version 1: it knows no other, and says so in the words of its time.

    `test_an_old_site_is_a_good_likeness` holds it to what a real one said.
    """

    def __init__(self, path):
        self.site = open_site(path)

    def handle(self, sealed):
        version = version_of(sealed)
        if version == 1:
            return self.site.handle(sealed)
        text = f"the message has wire version {version}, this program speaks 1"
        no = wire.Reply("", self.site.name, "", "", "bad-signature", text, sha256(b""), 0)
        return seal(dataclasses.replace(no, version=1), self.site.key)


class NextSite:
    """A site of version 3, which still understands 2."""

    def __init__(self, path):
        self.site = open_site(path)

    def handle(self, sealed):
        return of_version(3, self.site.handle(sealed), self.site.key, wire_pb2.Reply)


def mixed(path, centre=OldSite):
    """Opens sites, of which centre is another version's."""
    return centre(path) if path.name == "centre" else open_site(path)


def install(monkeypatch, channel=LocalChannel, centre=OldSite):
    """Runs use this channel, with a site of another version; gives what was sent to whom."""
    sent = []

    class Channel(channel):
        def __init__(self, folders, _open, *more):
            super().__init__(folders, functools.partial(mixed, centre=centre), *more)

        def send(self, orders):
            sent.extend((site, version_of(sealed)) for site, (_, sealed) in orders.items())
            super().send(orders)

    name = channel.__name__ if channel is not GridChannel else "LocalChannel"
    monkeypatch.setattr(run_sites, name, Channel)
    return sent


def test_an_old_site_is_a_good_likeness(tmp_path):
    create_site(tmp_path / "north", "north", None)
    old = OldSite(tmp_path / "north")
    order = open_order(recorded("order"), public("coordinator"))
    key = Ed25519PrivateKey.generate()
    newer = seal(dataclasses.replace(order, version=2), key, recorded("order").payload)
    assert old.handle(newer).header == recorded("refusal").header


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "channel",
    [LocalChannel, pytest.param(WorkerChannel, marks=pytest.mark.slow), GridChannel],
)
def test_a_site_of_version_1_takes_part_with_the_same_result(channel, tmp_path, monkeypatch):
    wanted = outcome(STUDY, tmp_path / "all-new")
    sent = install(monkeypatch, channel)
    workers = 2 if channel is WorkerChannel else 0
    record = Recorder()
    result = go(STUDY, tmp_path / "mixed", record, **({"workers": workers} if workers else {}))
    assert result["model_sha256"] == wanted[0]
    assert record.missing() == []
    to_centre = [version for site, version in sent if site == "centre"]
    assert to_centre == [2] + [1] * (len(to_centre) - 1)  # once refused, once sent again
    assert {version for site, version in sent if site != "centre"} == {2}
    assert record.said().count("centre speaks wire version 1 and was sent 2") == 1


@pytest.mark.usefixtures("quick")
def test_an_asynchronous_run_takes_a_site_of_version_1(tmp_path, monkeypatch):
    study = study_of("fedbuff", rounds=4)
    wanted = outcome(study, tmp_path / "all-new")
    sent = install(monkeypatch)
    # Facts are asked for synchronously: forget what they taught, so that this loop has to learn it.
    from medfed.federation.asynchronous import AsynchronousCoordinator

    plain = AsynchronousCoordinator.begin

    def begin(self):
        state = plain(self)
        self.post.versions.clear()
        return state

    monkeypatch.setattr(AsynchronousCoordinator, "begin", begin)
    record = Recorder()
    result = go(study, tmp_path / "mixed", record)
    assert record.missing() == []
    assert [version for site, version in sent if site == "centre"].count(2) == 2
    assert {"north", "centre", "south"} == set(SITES)
    assert result["rounds"] == 4
    assert wanted[0]


@pytest.mark.usefixtures("quick")
def test_a_site_that_is_too_new_is_missing_for_a_reason_that_says_what_to_do(tmp_path, monkeypatch):
    sent = install(monkeypatch, centre=NextSite)
    record = Recorder()
    go(STUDY, tmp_path / "run", record)
    assert {(site, reason) for _, site, reason in record.missing()} == {("centre", "wire-version")}
    assert "this coordinator speaks 1 and 2. Update medfed at this coordinator" in record.said()
    assert {version for _, version in sent} == {2}


class NeverContent:
    """A site that always wants another version than it was sent."""

    def __init__(self, path):
        self.site = open_site(path)

    def handle(self, sealed):
        no = wire.Reply("", self.site.name, "", "", "wire-version", "no", sha256(b""), 0)
        return seal(dataclasses.replace(no, version=3 - version_of(sealed)), self.site.key)


@pytest.mark.usefixtures("quick")
def test_an_order_is_sent_again_once_at_most(tmp_path, monkeypatch):
    sent = install(monkeypatch, centre=NeverContent)
    record = Recorder()
    go(STUDY, tmp_path / "run", record)
    assert {(site, reason) for _, site, reason in record.missing()} == {("centre", "wire-version")}
    assert len([1 for site, _ in sent if site == "centre"]) == 2 * len(record.missing())


@pytest.mark.usefixtures("quick")
def test_a_forged_refusal_does_not_change_the_version(tmp_path, monkeypatch):
    class Forger(NeverContent):
        def handle(self, sealed):
            no = super().handle(sealed)
            return Sealed(no.header, bytes(64), no.payload)

    sent = install(monkeypatch, centre=Forger)
    record = Recorder()
    go(STUDY, tmp_path / "run", record)
    assert {reason for *_, reason in record.missing()} == {"rejected"}
    assert {version for _, version in sent} == {2}


@pytest.mark.usefixtures("quick")
def test_the_seconds_of_a_row_are_the_sites_own(tmp_path, monkeypatch):
    """A slow network does not make a hospital look slow; version 1 had no clock of its own."""

    class Far(LocalChannel):
        def __init__(self, folders, _open):
            super().__init__(folders, mixed)

        def replies(self, timeout):
            for delivery in super().replies(timeout):
                yield dataclasses.replace(delivery, seconds=delivery.seconds + 1000)

    monkeypatch.setattr(run_sites, "LocalChannel", Far)
    record = Recorder()
    go(STUDY, tmp_path / "run", record)
    counted = [event for event in record.events if type(event).__name__ == "ReplyCounted"]
    assert counted
    assert all((event.seconds > 1000) == (event.site == "centre") for event in counted)


def test_a_site_trusts_no_version_of_a_stranger(tmp_path):
    site = create_site(tmp_path / "north", "north", None)
    trust(tmp_path / "north", Ed25519PrivateKey.generate().public_key())
    assert wire.version_asked_in(b"") == 1
    assert wire.version_asked_in(b"\x08\x02") == 2
    assert wire.version_asked_in(b"\x08\xff\x01") == 2
    assert read(site, site.handle(Sealed(b"\x08\x02", bytes(64)))).version == 2
    with pytest.raises(WireError):
        open_order(recorded("order"), site.key.public_key())
    assert isinstance(open_order(recorded("order"), public("coordinator")), Order)
