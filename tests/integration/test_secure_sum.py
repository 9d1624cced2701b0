"""The secure sum in real runs: the mean's result, losses on the way, receipts of what left."""

import numpy as np
import pytest
from integration.federated import Recorder, go, refused, study_of, text_of
from safetensors.numpy import load_file

from medfed.core.errors import QuorumError
from medfed.federation.site_folder import SiteFolder
from medfed.storage.run_folder import RunFolder

FOUR = ("north", "centre", "south", "west")

pytestmark = pytest.mark.usefixtures("quick")


def model_of(out):
    return load_file(out / "model.safetensors")


def rounding(out):
    """How far two runs may be apart: what each round may add, and float32's own rounding."""
    rows = RunFolder(out).rows()
    return sum(row.get("aggregation", {}).get("rounding", 0.0) for row in rows)


@pytest.mark.parametrize("strategy", ["fedavg", "scaffold", "fedadam"])
def test_a_run_gives_the_means_model_within_the_rounding_it_tells(strategy, tmp_path):
    plain = go(study_of(strategy), tmp_path / "mean")
    masked = go(study_of(strategy, aggregator="secure-sum"), tmp_path / "sum")
    for name, value in model_of(tmp_path / "mean").items():
        apart = np.abs(model_of(tmp_path / "sum")[name] - value).max()
        # Later rounds train on what earlier ones rounded, which may enlarge it.
        assert apart < 20 * rounding(tmp_path / "sum") + 1e-6
    assert 0 < rounding(tmp_path / "sum") < 1e-4
    for metric, interval in plain["metrics"]["overall"].items():
        value = masked["metrics"]["overall"][metric]["value"]
        assert value == pytest.approx(interval["value"], abs=1e-3)
    assert masked["patients"] == {"overall": plain["patients"]["overall"]}


def test_facts_are_the_means_and_no_sites_figures_are_kept(tmp_path):
    go(study_of(), tmp_path / "mean")
    go(study_of(aggregator="secure-sum"), tmp_path / "sum")
    plain, masked = (RunFolder(tmp_path / name).load()[0].facts for name in ("mean", "sum"))
    for column, row in plain["moments"].items():
        assert masked["moments"][column] == pytest.approx(row, rel=1e-12)
    for row in RunFolder(tmp_path / "sum").rows():
        assert not row["sites"]
        assert "site_loss" not in row


def losing(site, phase, round_):
    """A channel on which one reply of a site is lost."""

    def tamper(channel, delivery):
        order = channel.order_of(delivery)
        at = (order.site, order.phase.partition("-")[0], order.round)
        return [] if at == (site, phase, round_) else [delivery]

    return tamper


@pytest.mark.parametrize("phase", ["keys", "shares", "masked", "agree", "unmask"])
def test_a_site_lost_in_the_conversation_does_not_stop_it(phase, tmp_path, tampered):
    tampered(losing("west", phase, 2))
    study = study_of("scaffold", aggregator="secure-sum", sites=FOUR, min_sites=3)
    record = Recorder()
    go(study, tmp_path / "run", record)
    assert record.missing() == [(2, "west", "late")]
    counted = {row["round"]: row["participants"] for row in RunFolder(tmp_path / "run").rows()[1:]}
    in_time = phase in ("agree", "unmask")  # its part had arrived
    assert ("west" in counted[2]) == in_time
    assert "west" in counted[3]


def test_of_three_sites_none_may_be_lost_and_the_run_goes_on_when_it_is_back(tmp_path, tampered):
    study = study_of(aggregator="secure-sum")
    wanted = go(study, tmp_path / "whole")["model_sha256"]
    with pytest.MonkeyPatch.context() as patch:
        tampered(losing("south", "masked", 2))
        with pytest.raises(QuorumError, match="2 of 3"):
            go(study, tmp_path / "run")
        tampered(lambda channel, delivery: [delivery])
        patch.undo()
    assert go(study, tmp_path / "run", resume=True)["model_sha256"] == wanted


def test_receipts_say_what_left(tmp_path):
    go(study_of(aggregator="secure-sum", rounds=1), tmp_path / "run")
    receipts = list(SiteFolder(tmp_path / "run" / "sites" / "north").receipts())
    masked = [one for one in receipts if one["phase"].startswith("masked")]
    assert masked
    assert all("masked" in one["sentence"] for one in masked)
    assert all(one["norm"] is None for one in receipts)


def test_sites_that_do_not_know_one_another_refuse(tmp_path, monkeypatch):
    monkeypatch.setattr("medfed.services.run_sites.pin", lambda *_: None)
    record = Recorder()
    with pytest.raises(QuorumError):
        go(study_of(aggregator="secure-sum"), tmp_path / "run", record)
    assert {reason for _, _, reason in record.missing()} == {"unknown-peer"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"top": 'report = "sites"'}, "nobody sees a single site's figures"),
        ({"compression": "fp16"}, "saves nothing"),
        ({"compression": "top-k"}, "saves nothing"),
        ({"sites": ("a", "b")}, "at least three"),
        ({"tables": "[sampling]\nfraction = 0.5"}, "at least three"),
        ({"tables": "least = 4"}, "asks for 4 sites"),
    ],
)
def test_what_cannot_be_together_is_refused_when_the_study_is_read(changes, says):
    error = refused(text_of(aggregator="secure-sum", **changes))
    assert says in str(error)


def test_a_study_that_is_silent_on_reports_gets_what_there_is():
    assert study_of(aggregator="secure-sum").report == "overall"
    assert study_of().report == "sites"
