"""Whatever carries the orders, the bits are the same."""

from pathlib import Path

import pytest
from conformance.flower_grid import GridChannel
from integration.federated import figures, go, outcome, study_of

from medfed.core.study_file import parse_study
from medfed.services import run_sites
from medfed.services.sites import open_ledger

ROOT = Path(__file__).resolve().parents[2]

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


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_private_study_runs_over_flower_and_over_processes(workers, tmp_path, monkeypatch):
    text = (
        (ROOT / "examples/breast_cancer_dp.toml").read_text().replace("rounds = 15", "rounds = 3")
    )
    if not workers:
        monkeypatch.setattr(run_sites, "LocalChannel", GridChannel)
    result = go(parse_study(text), tmp_path / "run", workers=workers)
    spent = {one["site"]: one["epsilon"] for one in result["privacy"]["spent"]}
    assert set(spent) == {"north", "centre", "south"}
    assert all(2.9 < epsilon <= 3.0 for epsilon in spent.values())
    for site in spent:
        assert len(open_ledger(tmp_path / "run/sites" / site).entries()) == 3
