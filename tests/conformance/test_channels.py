"""Whatever carries the orders, the bits are the same."""

import pytest
from conformance.flower_grid import GridChannel
from integration.federated import figures, go, outcome, study_of

from medfed.services import run_sites

STUDIES = {
    **{name: study_of(name, rounds=2) for name in ("fedavg", "scaffold", "ditto", "finetune")},
    "top-k": study_of(compression="top-k", rounds=2),
    "median": study_of(aggregator="median", compression="fp16", rounds=2),
    "several exchanges": study_of("ditto", aggregator="geometric-median", rounds=2),
    "secure sum": study_of("scaffold", aggregator="secure-sum", rounds=2),
    "fedbuff": study_of("fedbuff", rounds=4),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", STUDIES)
def test_inside_flowers_own_objects_the_bits_are_the_same(name, tmp_path, monkeypatch):
    study = STUDIES[name]
    wanted = outcome(study, tmp_path / "local")
    monkeypatch.setattr(run_sites, "LocalChannel", GridChannel)
    assert outcome(study, tmp_path / "flower") == wanted


@pytest.mark.usefixtures("quick")
def test_worker_processes_give_the_same_bits(tmp_path):
    study = STUDIES["scaffold"].evolve(compression=STUDIES["top-k"].compression)
    assert outcome(study, tmp_path / "w", workers=2) == outcome(study, tmp_path / "l")


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("name", "workers"), [("ditto", 1), ("median", 2), ("finetune", 3)])
def test_every_number_of_workers_gives_the_same_bits(name, workers, tmp_path):
    wanted = outcome(STUDIES[name], tmp_path / "0")
    assert outcome(STUDIES[name], tmp_path / "w", workers=workers) == wanted


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_an_asynchronous_run_is_replayed_to_the_same_bits(tmp_path):
    study = STUDIES["fedbuff"]
    wanted = outcome(study, tmp_path / "first", workers=2)
    again = go(study, tmp_path / "again", replay=tmp_path / "first")
    assert again["model_sha256"] == wanted[0]
    assert figures(tmp_path / "again") == wanted[1]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_large_models_do_not_make_two_processes_wait_for_each_other(tmp_path):
    """A reply of a megabyte fills the pipe while the next order is being written."""
    study = study_of(rounds=1, sites=("a", "b", "c", "d", "e"), hidden=(600, 500))
    assert outcome(study, tmp_path / "w", workers=2) == outcome(study, tmp_path / "l")
