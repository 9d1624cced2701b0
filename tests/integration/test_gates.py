"""Hostile replies in real runs: what the gates leave out, and what would happen without them."""

from functools import partial

import numpy as np
import pytest
from integration.federated import Recorder, finite, go, study_of

from medfed.core.update import Update
from medfed.federation import exchange
from medfed.storage.models import read_model

pytestmark = pytest.mark.usefixtures("quick")
SITES = ("a", "b", "c", "d", "e")


def rewritten(change):
    """A tamper under which the site ``a`` changes its training updates, under its own signature."""

    def tamper(channel, delivery):
        order = channel.order_of(delivery)
        if delivery.site != "a" or order.purpose != "train":
            return [delivery]
        return [
            type(delivery)("a", delivery.order, channel.forge(delivery, change), delivery.seconds)
        ]

    return tamper


def hidden_among_buffers(update):
    """The weights where a rule that compares sites has nobody to compare with."""
    tensors = {k.replace("model/", "buffers/"): v * 1e3 for k, v in update.tensors.items()}
    return Update(tensors, {"buffers": update.weights["model"]}, update.stats)


def scaled(by, update):
    return Update(
        {k: v * np.float32(by) for k, v in update.tensors.items()}, update.weights, update.stats
    )


def norm_of(out):
    tensors, _ = read_model(out / "model.safetensors")
    return np.sqrt(sum(float((v.astype(float) ** 2).sum()) for v in tensors.values()))


def study(aggregator, tables=""):
    return study_of(aggregator=aggregator, sites=SITES, min_sites=3, tables=tables)


def test_weights_among_the_buffers_are_left_out(tampered, tmp_path, monkeypatch):
    tampered(rewritten(hidden_among_buffers))
    seen = Recorder()
    go(study("median"), tmp_path / "with", on_event=seen)
    assert {(site, reason) for _, site, reason in seen.missing()} == {("a", "rejected")}
    # Without the gate the one site decides alone, whatever the rule.
    monkeypatch.setattr(exchange, "unlike_others", lambda updates: {})
    go(study("median"), tmp_path / "without")
    assert norm_of(tmp_path / "without") > 100 * norm_of(tmp_path / "with")


def test_a_change_far_larger_than_the_others_is_left_out(tampered, tmp_path):
    tampered(rewritten(partial(scaled, 1000.0)))
    seen = Recorder()
    go(study("mean", "norm_limit = 10.0"), tmp_path / "with", on_event=seen)
    assert {(site, reason) for _, site, reason in seen.missing()} == {("a", "rejected")}
    assert "times as long as the median" in seen.said()
    go(study("mean"), tmp_path / "without")
    assert norm_of(tmp_path / "without") > 10 * norm_of(tmp_path / "with")


@pytest.mark.parametrize("aggregator", ["median", "centred-clipping", "geometric-median"])
def test_no_site_can_end_a_run_by_its_numbers(aggregator, tampered, tmp_path):
    tampered(rewritten(partial(scaled, 1e36)))
    go(study(aggregator), tmp_path / "run")
    assert finite(tmp_path / "run")


def test_a_tiny_weight_ends_no_run(tampered, tmp_path):
    def weightless(update):
        return Update(update.tensors, dict.fromkeys(update.weights, 1e-300), update.stats)

    tampered(rewritten(weightless))
    seen = Recorder()
    go(study("trimmed-mean"), tmp_path / "run", on_event=seen)
    assert {(site, reason) for _, site, reason in seen.missing()} == {("a", "rejected")}
