"""Sites that fail, refuse, come late, come back or send what they should not."""

import dataclasses
import os
import signal
import time

import numpy as np
import pytest
from integration.federated import SITES, Recorder, figures, finite, go, outcome, study_of
from safetensors.numpy import load_file

from medfed.core.errors import QuorumError, SiteError
from medfed.core.update import Update
from medfed.federation.channel import Delivery
from medfed.federation.coordinator import Coordinator
from medfed.federation.site import Site
from medfed.federation.wire import Sealed
from medfed.services import run_sites
from medfed.storage.models import read_model

pytestmark = pytest.mark.usefixtures("quick")
STUDY = study_of(rounds=3, min_sites=2)


def only(site, rounds, change):
    """Tamper with one site's training replies of some rounds."""

    def tamper(channel, delivery):
        order = channel.order_of(delivery)
        if delivery.site != site or order.round not in rounds or order.purpose != "train":
            return [delivery]
        return change(channel, delivery)

    return tamper


def changed_update(change):
    """Replace the update by another, under the site's own good signature."""

    def tamper(channel, delivery):
        return [dataclasses.replace(delivery, reply=channel.forge(delivery, change))]

    return tamper


def tensors(change):
    return lambda update: Update(change(dict(update.tensors)), update.weights, update.stats)


def first(change):
    def apply(found):
        name = min(found)
        return {**found, name: change(found[name])}

    return tensors(apply)


def stats(change):
    return lambda update: Update(update.tensors, update.weights, change(dict(update.stats)))


def weights(value):
    return lambda u: Update(u.tensors, dict.fromkeys(u.weights, value), u.stats)


BAD = {
    "wrong shape": first(lambda a: np.zeros((3, 3), a.dtype)),
    "another order of axes": tensors(lambda t: {k: v.T if v.ndim > 1 else v for k, v in t.items()}),
    "whole numbers": first(lambda a: a.astype(np.int64)),
    "too wide": first(lambda a: a.astype(np.float64)),
    "NaN": first(lambda a: np.full_like(a, np.nan)),
    "infinity": first(lambda a: np.full_like(a, np.inf)),
    "a tensor too many": tensors(lambda t: {**t, "model/more": np.zeros(9, np.float32)}),
    "another group": tensors(lambda t: {**t, "evil": np.zeros(9, np.float32)}),
    "a tensor missing": tensors(lambda t: dict(list(t.items())[1:])),
    "no tensors": tensors(lambda t: {}),
    "too much": stats(lambda s: {**s, "big": np.zeros(9_000_000)}),
    "no weight": lambda u: Update(u.tensors, {}, u.stats),
    "negative weight": weights(-5.0),
    "weight NaN": weights(float("nan")),
    "weight too large": weights(1e300),
    "NaN among the statistics": stats(lambda s: {**s, "x": np.array(np.nan)}),
    "statistics of another shape": stats(
        lambda s: {k: np.zeros(5, np.int32) if "scores" in k else v for k, v in s.items()}
    ),
    "not an update": lambda update: b"\x80\x04pickle",
    "nothing": lambda update: b"",
}


@pytest.mark.parametrize("what", BAD)
def test_what_a_site_should_not_send_is_rejected_and_the_others_go_on(what, tmp_path, tampered):
    tampered(only("centre", (2,), changed_update(BAD[what])))
    record = Recorder()
    go(STUDY, tmp_path / "run", record)
    if what == "another order of axes" and (2, "centre", "rejected") not in record.missing():
        return  # a model whose matrices look the same either way
    assert record.missing() == [(2, "centre", "rejected")]
    assert finite(tmp_path / "run")
    row = figures(tmp_path / "run")[2]
    assert row["participants"] == ["north", "south"]
    assert len(record.said()) < 10_000


@pytest.mark.parametrize("what", ["wrong shape", "NaN", "statistics of another shape", "nothing"])
def test_an_asynchronous_run_rejects_them_too(what, tmp_path, tampered):
    tampered(only("centre", (1, 2), changed_update(BAD[what])))
    record = Recorder()
    go(study_of("fedbuff", rounds=4), tmp_path / "run", record)
    assert (1, "centre", "rejected") in record.missing()
    assert finite(tmp_path / "run")


@pytest.mark.parametrize("gone", ["score/valid/loss", "score/valid/scores", "score/valid/patients"])
def test_a_site_that_leaves_statistics_out_does_not_stop_the_others(gone, tmp_path, tampered):
    def without(s):
        return {k: v for k, v in s.items() if k != gone}

    tampered(only("north", (2,), changed_update(stats(without))))
    go(STUDY, tmp_path / "run", record := Recorder())
    assert finite(tmp_path / "run")
    assert {site for _, site, _ in record.missing()} <= {"north"}


# --- signatures, replays --------------------------------------------------------------------------


def flipped(raw):
    return raw[:-1] + bytes([raw[-1] ^ 1])


def with_reply(change):
    return lambda channel, d: [dataclasses.replace(d, reply=change(channel, d))]


def signed_by_another(channel, delivery):
    """North's signature under centre's words."""
    other = channel._sites["north"]
    mine = channel._sites["centre"]
    key, mine.key = mine.key, other.key
    original = mine.key
    channel._sites["centre"].key = key
    reply = delivery.reply
    domain = b"medfed medfed.wire.v1.Reply\0"
    return Sealed(reply.header, original.sign(domain + reply.header), reply.payload)


def an_old_reply(channel, delivery):
    """A good reply of the same site, to an order of an earlier round."""
    old = [d for d in channel.past if d.site == delivery.site and d.reply.payload]
    return old[-1].reply


TRICKS = {
    "forged": with_reply(
        lambda _, d: Sealed(d.reply.header, flipped(d.reply.signature), d.reply.payload)
    ),
    "unsigned": with_reply(lambda _, d: Sealed(d.reply.header, b"", d.reply.payload)),
    "another header": with_reply(
        lambda _, d: Sealed(flipped(d.reply.header), d.reply.signature, d.reply.payload)
    ),
    "another payload": with_reply(
        lambda _, d: Sealed(d.reply.header, d.reply.signature, flipped(d.reply.payload))
    ),
    "cut off": with_reply(
        lambda _, d: Sealed(d.reply.header, d.reply.signature, d.reply.payload[:-9])
    ),
    "empty": with_reply(lambda _, d: Sealed(b"", b"", b"")),
    "signed by another site": with_reply(signed_by_another),
    "replayed": with_reply(an_old_reply),
    "the order itself": with_reply(lambda c, d: c.orders[d.order]),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_reply_that_is_not_the_sites_own_is_rejected(trick, tmp_path, tampered):
    tampered(only("centre", (2,), TRICKS[trick]))
    record = Recorder()
    go(STUDY, tmp_path / "run", record)
    assert record.missing() == [(2, "centre", "rejected")]
    assert figures(tmp_path / "run")[3]["participants"] == list(SITES)


def test_a_reply_under_another_sites_name_does_not_count(tmp_path, tampered):
    """North's good reply, handed in as centre's: the order is north's."""

    def swap(channel, delivery):
        return [dataclasses.replace(delivery, site="centre"), delivery]

    tampered(only("north", (2,), swap))
    record = Recorder()
    result = go(STUDY, tmp_path / "run", record)
    assert record.missing() == [(2, "centre", "late")]
    assert result["model_sha256"] == outcome(STUDY, tmp_path / "honest")[0]


def test_a_reply_that_comes_twice_counts_once(tmp_path, tampered):
    tampered(only("north", (2,), lambda _, d: [d, d]))
    result = go(STUDY, tmp_path / "run", record := Recorder())
    assert [reason for *_, reason in record.missing()] == ["late"]
    tampered(lambda _, d: [d])
    assert result["model_sha256"] == go(STUDY, tmp_path / "honest")["model_sha256"]


def test_a_reply_to_an_order_of_an_earlier_round_is_late(tmp_path, tampered):
    """Centre's reply of round 1 is held back until round 2."""
    held = []

    def hold(channel, delivery):
        order = channel.order_of(delivery)
        if delivery.site == "centre" and order.purpose == "train":
            if order.round == 1:
                held.append(delivery)
                return []
            if order.round == 2:
                return [held.pop(), delivery]
        return [delivery]

    tampered(hold)
    go(STUDY, tmp_path / "run", record := Recorder())
    assert record.missing() == [(1, "centre", "late"), (2, "centre", "late")]
    assert figures(tmp_path / "run")[2]["participants"] == list(SITES)


def test_an_update_of_another_model_is_rejected(tmp_path, tampered):
    """The site's signature is good, but it says that it began from another model."""
    from medfed.federation.wire import Reply, open_reply, seal

    def stale(channel, delivery):
        site = channel._sites[delivery.site]
        reply = open_reply(delivery.reply, site.key.public_key(), site.name)
        fields = {name: getattr(reply, name) for name in Reply.__slots__}
        again = seal(Reply(**fields | {"base_sha256": "0" * 64}), site.key, delivery.reply.payload)
        return [dataclasses.replace(delivery, reply=again)]

    tampered(only("centre", (2,), stale))
    go(STUDY, tmp_path / "run", record := Recorder())
    assert record.missing() == [(2, "centre", "rejected")]
    assert "another model" in record.said()


# --- quorum, deadlines, return --------------------------------------------------------------------


def lost(channel, delivery):
    return [Delivery(delivery.site, delivery.order, None, 0.0)]


def late(channel, delivery):
    return [dataclasses.replace(delivery, seconds=5000.0)]


@pytest.mark.parametrize(("how", "reason"), [(lost, "worker-lost"), (late, "late")])
def test_without_a_quorum_it_stops_and_goes_on_when_the_sites_are_back(
    how, reason, tmp_path, tampered
):
    study = study_of("scaffold", rounds=3, min_sites=3)
    wanted = outcome(study, tmp_path / "whole")
    tampered(only("centre", (2,), how))
    with pytest.raises(QuorumError) as caught:
        go(study, tmp_path / "run", record := Recorder())
    assert caught.value.exit_code == 5
    assert f"centre: {reason}" in str(caught.value)
    assert "--resume" in caught.value.remedy
    assert record.missing() == [(2, "centre", reason)]
    tampered(lambda _, d: [d])
    result = go(study, tmp_path / "run", resume=True)
    assert (result["model_sha256"], figures(tmp_path / "run")) == wanted


@pytest.mark.parametrize("strategy", ["scaffold", "ditto", "fedbuff"])
def test_a_site_that_was_away_comes_back_with_the_memory_that_counted(
    strategy, tmp_path, tampered, monkeypatch
):
    """Centre works in round 2 but is not heard: round 3 must build on its round 1."""
    orders = []
    original = Site._answer

    def watch(site, order, *rest):
        orders.append((site.name, order.purpose, order.round, order.memory))
        return original(site, order, *rest)

    monkeypatch.setattr(Site, "_answer", watch)
    tampered(only("centre", (2,), late))
    go(study_of(strategy, rounds=4), tmp_path / "run", record := Recorder())
    mine = {r: m for name, purpose, r, m in orders if (name, purpose) == ("centre", "train")}
    if strategy != "fedbuff":
        assert mine == {1: 0, 2: 1, 3: 1, 4: 3}
    assert [site for _, site, _ in record.missing()] == ["centre"] * len(record.missing())
    assert finite(tmp_path / "run")


def test_a_deadline_of_the_study_holds(tmp_path, monkeypatch):
    study = study_of(rounds=1, top="deadline = 0.2")
    original = Site._answer

    def slow(site, order, *rest):
        if site.name == "south" and order.purpose == "train":
            time.sleep(0.3)
        return original(site, order, *rest)

    go(study_of(rounds=1), tmp_path / "warm")
    monkeypatch.setattr(Site, "_answer", slow)
    go(study, tmp_path / "run", record := Recorder())
    assert (1, "south", "late") in record.missing()


# --- refusals -------------------------------------------------------------------------------------


def reasons_of(study, home, tmp_path):
    record = Recorder()
    with pytest.raises(QuorumError) as caught:
        go(study, tmp_path / "run", record, sites=home)
    assert caught.value.exit_code == 5
    return record, str(caught.value)


def test_a_study_that_was_not_approved(hospitals, tmp_path):
    study = study_of(min_sites=3)
    record, message = reasons_of(study, hospitals(study, "north", "centre"), tmp_path)
    assert record.missing() == [(0, "south", "not-approved")]
    assert "medfed site approve" in message
    hospitals(study, "south")
    result = go(study, tmp_path / "run", sites=tmp_path / "hospitals", resume=True)
    assert result["rounds"] == 3


def test_a_coordinator_that_is_not_trusted(hospitals, tmp_path):
    from medfed.federation.keys import make_key

    study = study_of(min_sites=3)
    home = hospitals(study)
    make_key(home / "coordinator")
    record, message = reasons_of(study, home, tmp_path)
    assert {reason for *_, reason in record.missing()} == {"bad-signature"}
    assert "not signed by the coordinator this site trusts" in message


def test_a_coordinator_whom_nobody_has_pinned(hospitals, tmp_path):
    study = study_of(min_sites=3)
    home = hospitals(study)
    (home / "south" / "coordinator.pub").unlink()
    record, message = reasons_of(study, home, tmp_path)
    assert record.missing() == [(0, "south", "bad-signature")]
    assert "medfed site trust" in message


def test_a_folder_of_another_site_is_named(hospitals, tmp_path):
    study = study_of()
    home = hospitals(study)
    (home / "south").rename(home / "elsewhere")
    (home / "north").rename(home / "south")
    (home / "elsewhere").rename(home / "north")
    with pytest.raises(SiteError, match="is the folder of site"):
        go(study, tmp_path / "run", sites=home)


def test_too_few_patients_is_the_sites_own_rule(hospitals, tmp_path):
    study = study_of(min_sites=2)
    home = hospitals(study)
    file = home / "south" / "site.toml"
    file.write_text(file.read_text().replace("min_patients = 1", "min_patients = 5000"))
    go(study, tmp_path / "run", record := Recorder(), sites=home)
    assert {(site, reason) for _, site, reason in record.missing()} == {
        ("south", "too-few-patients")
    }


def test_an_approval_that_is_withdrawn_stops_the_site_at_once(hospitals, tmp_path):
    study = study_of(min_sites=2, rounds=3)
    home = hospitals(study)

    def withdraw(event):
        if type(event).__name__ == "RoundFinished" and event.round == 1:
            (home / "south" / "approved" / f"{study.digest}.json").unlink()
        record(event)

    record = Recorder()
    go(study, tmp_path / "run", withdraw, sites=home)
    assert {r for *_, r in record.missing()} == {"not-approved"}
    assert [row["participants"] for row in figures(tmp_path / "run")[1:]] == [
        list(SITES),
        ["north", "centre"],
        ["north", "centre"],
    ]


# --- worker processes -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_that_dies_is_missing_and_back_in_the_next_round(tmp_path, monkeypatch):
    channels = []

    class Watched(run_sites.WorkerChannel):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            channels.append(self)

    monkeypatch.setattr(run_sites, "WorkerChannel", Watched)
    record = Recorder()

    def kill(event):
        record(event)
        if type(event).__name__ == "ReplyCounted" and event.round == 2 and event.site == "north":
            # north and south live in the first process; south is now at work there
            os.kill(channels[0]._home["south"]._process.pid, signal.SIGKILL)

    go(study_of("scaffold", rounds=3), tmp_path / "run", kill, workers=2)
    assert set(record.missing()) <= {(2, "south", "worker-lost")}
    counts = [len(row["participants"]) for row in figures(tmp_path / "run")[1:]]
    assert counts == [3, 3 - len(record.missing()), 3]
    assert finite(tmp_path / "run")


# --- personal models ------------------------------------------------------------------------------


def test_fine_tuning_helps_some_site_and_is_kept_there(tmp_path):
    """With a real task's statistics: a guard that reads others would never let it be kept."""
    study = study_of("finetune", rounds=2, options="finetune_epochs = 20")
    go(study, tmp_path / "run")
    common, _ = read_model(tmp_path / "run" / "model.safetensors")
    own = [load_file(f) for f in (tmp_path / "run" / "sites").glob("*/runs/*/model.safetensors")]
    assert len(own) == len(SITES)
    assert any(not np.array_equal(model[name], common[name]) for model in own for name in common)


def test_a_best_aggregate_that_lies_far_back_is_judged(tmp_path, monkeypatch):
    monkeypatch.setattr(Coordinator, "is_best", lambda _, scores: len(scores) == 2)
    study = study_of(rounds=6, top='keep = "best"')
    assert study.rounds == 6
    result = go(study, tmp_path / "run")
    assert (result["rounds"], result["kept_round"]) == (6, 1)
    assert result["metrics"]["sites"].keys() == set(SITES)
    assert read_model(tmp_path / "run" / "model.safetensors")[1]["round"] == 1
