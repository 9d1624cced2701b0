"""Small real runs for tests: three hospitals, one logistic regression, real keys and folders."""

import os
from pathlib import Path

import numpy as np
import pytest

from medfed.core.errors import StudyError
from medfed.core.study_file import parse_study
from medfed.federation.local import LocalChannel
from medfed.federation.site_folder import SiteFolder
from medfed.federation.spool import decode_update, encode_update
from medfed.federation.wire import Reply, open_order, open_reply, seal, sha256
from medfed.services import run_sites, runs
from medfed.services.sites import open_site
from medfed.storage.run_folder import RunFolder

SITES = ("north", "centre", "south")
TEXT = """
title = "Three hospitals"
sites = {sites}
rounds = {rounds}
min_sites = {min_sites}
seed = 3
{top}
[source]
name = "breast-cancer"
skew = 0.7
[split]
name = "hash"
test = 0.2
valid = 0.2
[task]
name = "tabular-classification"
target = "diagnosis"
positive = "= malignant"
numeric = ["mean texture", "mean smoothness"]
hidden = {hidden}
norm = "{norm}"
[strategy]
name = "{strategy}"
batch_size = 64
lr = 0.1
{options}
[aggregator]
name = "{aggregator}"
{tables}
"""


def text_of(
    strategy="fedavg",
    *,
    aggregator="mean",
    compression=None,
    rounds=3,
    sites=SITES,
    min_sites=1,
    top="",
    options="",
    tables="",
    hidden=(),
    norm="none",
):
    """A study file."""
    if compression:
        tables += f'\n[compression]\nname = "{compression}"\n'
    return TEXT.format(
        strategy=strategy,
        aggregator=aggregator,
        rounds=rounds,
        sites=str(list(sites)).replace("'", '"'),
        min_sites=min_sites,
        top=top,
        options=options,
        tables=tables,
        hidden=list(hidden),
        norm=norm,
    )


def study_of(strategy="fedavg", **changes):
    """A study, read as every study is."""
    return parse_study(text_of(strategy, **changes))


def go(study, out, on_event=lambda _: None, **options):
    """Run a study to its result; with one thread, since other tests need the other cores."""
    options = {"threads": 1, **options}
    return runs.start(study, runs.RunOptions(Path(out), **options), on_event=on_event)


def figures(out):
    """What a run's rows say that must not depend on how it was interrupted."""
    names = ("round", "set", "metrics", "sites", "participants", "loss", "site_loss", "staleness")
    return [{name: row.get(name) for name in names} for row in RunFolder(Path(out)).rows()]


def outcome(study, out, **options):
    """The model's digest and the figures of an uninterrupted run."""
    return go(study, out, **options)["model_sha256"], figures(out)


FULL, STEADY = ("keys", "shares", "masked", "agree", "unmask"), ("next", "agree", "unmask")
"""Steps of a round of the secure sum: where it begins, and once it goes on."""


def steps_of(run, site="north"):
    """The steps of each round of training that a site's receipts tell of."""
    found = {}
    for one in SiteFolder(run / "sites" / site).receipts():
        if one["purpose"] == "train":
            found.setdefault(one["round"], []).append(one["phase"].partition("-")[0])
    return [tuple(steps) for _, steps in sorted(found.items())]


class Recorder:
    """Keeps all events, and can tell who was missing and why."""

    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append(event)

    def missing(self):
        """(round, site, reason) of everybody who did not contribute."""
        found = [e for e in self.events if type(e).__name__ == "SiteMissing"]
        return [(e.round, e.site, e.reason) for e in found]

    def said(self):
        """All sentences."""
        return " | ".join(getattr(event, "message", "") for event in self.events)


class TamperedChannel(LocalChannel):
    """The local channel with somebody evil in the middle: `tamper` turns a delivery into several.

    Class attributes, because the run makes the channel by itself.
    """

    tamper = staticmethod(lambda channel, delivery: [delivery])

    def __init__(self, folders, open_site):
        super().__init__(folders, open_site)
        self.orders = {}
        self.past = []

    def send(self, orders):
        self.orders |= dict(orders.values())
        super().send(orders)

    def replies(self, timeout):
        for delivery in super().replies(timeout):
            yield from type(self).tamper(self, delivery)
            self.past.append(delivery)

    def order_of(self, delivery):
        """The order that a delivery answers, opened."""
        site = self._sites[delivery.site]
        return open_order(self.orders[delivery.order], site.coordinator)

    def forge(self, delivery, change):
        """The site's own signature under an update that was changed."""
        site = self._sites[delivery.site]
        reply = open_reply(delivery.reply, site.key.public_key(), site.name)
        payload = change(decode_update(delivery.reply.payload))
        blob = payload if isinstance(payload, bytes) else encode_update(payload)
        fields = {name: getattr(reply, name) for name in Reply.__slots__}
        fields |= {"payload_sha256": sha256(blob), "payload_bytes": len(blob)}
        return seal(Reply(**fields), site.key, blob)


@pytest.fixture
def tampered(monkeypatch):
    """Call it with what should happen to each delivery."""

    def install(tamper):
        channel = type("Channel", (TamperedChannel,), {"tamper": staticmethod(tamper)})
        monkeypatch.setattr(run_sites, "LocalChannel", channel)
        return channel

    return install


@pytest.fixture
def quick(monkeypatch):
    """Runs without flushing to the disk and without reports: neither is what is looked at."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr("medfed.services.reports.write_report", lambda folder, result: None)
    monkeypatch.setattr("medfed.services.reports.write_model_card", lambda folder, result: None)


@pytest.fixture
def hospitals(tmp_path):
    """Three site folders that trust a coordinator, beside a study; call it to approve one."""
    from medfed.federation.keys import make_key
    from medfed.services.sites import create_site, trust

    home = tmp_path / "hospitals"
    (home / "coordinator").mkdir(parents=True)
    key = make_key(home / "coordinator")
    for name in SITES:
        create_site(home / name, name, None)
        trust(home / name, key.public_key())

    def approve(study, *names):
        for name in names or SITES:
            open_site(home / name).folder.approve(study)
        return home

    return approve


def refused(text):
    """The reason why a study is refused, or None."""
    try:
        parse_study(text)
    except StudyError as error:
        return error
    return None


def finite(out):
    """Whether the resulting model holds finite numbers only."""
    from medfed.storage.models import read_model

    tensors, _ = read_model(Path(out) / "model.safetensors")
    return bool(tensors) and all(np.isfinite(value).all() for value in tensors.values())
