"""Every strategy × aggregator × compression: it runs to a finite model, or a study may not say so.

The fast suite covers every strategy, every pair with fedavg, and those with memory at the sites;
the whole product, and all of it inside Flower's own objects too, is slow.
"""

import itertools

import pytest
from conformance.flower_grid import GridChannel
from integration.federated import finite, go, refused, study_of, text_of

from medfed.aggregators.encrypted import paillier_keys, paillier_scheme
from medfed.core.registry import names
from medfed.core.study_file import parse_study
from medfed.services import run_sites

STRATEGIES = names("strategy")
AGGREGATORS = names("aggregator")
COMPRESSIONS = (None, *names("compression"))
LOCAL = ("local-head", "local-norm")
LEAST = {"multi-krum": 5, "nnm-trimmed-mean": 3}
"""Rules that hold from so many sites on; the studies of the others have three."""
ALL = list(itertools.product(STRATEGIES, AGGREGATORS, COMPRESSIONS))
COMPARED = ("fedavg", "scaffold")
"""Strategies whose models under Paillier, half a minute each, are held against a local run's."""


def is_quick(combination):
    strategy, aggregator, compression = combination
    if aggregator == "paillier":  # minutes
        return False
    plain = aggregator == "mean" and compression is None
    return plain or strategy == "fedavg" or (strategy, compression) == ("scaffold", "top-k")


QUICK = [c for c in ALL if is_quick(c)]


def combined(strategy, aggregator, compression, rounds=2):
    layers = {"hidden": (3,), "norm": "layer"} if strategy in LOCAL else {}
    if least := LEAST.get(aggregator):
        layers |= {"sites": [f"s{i}" for i in range(least)], "min_sites": least}
        layers |= {"options": f"buffer = {least}"} if strategy == "fedbuff" else {}
    return text_of(
        strategy, aggregator=aggregator, compression=compression, rounds=rounds, **layers
    )


@pytest.fixture(autouse=True)
def short_keys(monkeypatch):
    """Paillier's library takes seconds over a key of full length, wherever it is read."""
    monkeypatch.setattr(paillier_keys, "BITS", 1024)
    monkeypatch.setattr(paillier_scheme, "PAYLOAD", 120)


def runs_or_is_refused(combination, tmp_path):
    """The digest of its model; None where it is refused."""
    text = combined(*combination)
    error = refused(text)
    if error is not None:
        assert error.problems
        for problem in error.problems:
            assert problem.line, problem
            assert problem.message, problem
            assert problem.remedy, problem
        return None
    result = go(parse_study(text), tmp_path / "run")
    assert result["rounds"] == 2
    assert 0 < result["metrics"]["overall"]["auc"]["value"] < 1
    assert finite(tmp_path / "run")
    assert not list((tmp_path / "run" / "spool").iterdir())
    return result["model_sha256"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("combination", QUICK, ids=str)
def test_a_combination_runs_or_is_refused(combination, tmp_path):
    runs_or_is_refused(combination, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("combination", ALL, ids=str)
def test_inside_flowers_objects_every_combination_gives_the_same_model(
    combination, tmp_path, monkeypatch
):
    lone = combination[1] == "paillier" and combination[0] not in COMPARED
    wanted = None if lone else runs_or_is_refused(combination, tmp_path / "local")
    monkeypatch.setattr(run_sites, "LocalChannel", GridChannel)
    found = runs_or_is_refused(combination, tmp_path / "flower")
    if lone:  # of a finite model, which running it has seen to, or refused
        assert (found is None) == bool(refused(combined(*combination)))
        return
    assert (found is None) == (wanted is None)
    if combination[1] != "ckks":  # encryption adds noise, another each time
        assert found == wanted


def test_what_contradicts_itself_is_refused():
    reasons = {c: refused(combined(*c)) for c in ALL}
    for (strategy, aggregator, compression), error in reasons.items():
        unseen = aggregator in ("secure-sum", "ckks", "paillier")
        robust = aggregator != "mean" and not unseen
        contradiction = robust and (strategy in ("scaffold", "fedsgd") or compression == "top-k")
        contradiction |= strategy == "fedbuff" and (unseen or aggregator == "geometric-median")
        contradiction |= unseen and compression is not None
        if contradiction:
            assert error, (strategy, aggregator, compression)
    assert not reasons["fedavg", "median", "fp16"]
    assert sum(error is None for error in reasons.values()) > len(ALL) / 2


@pytest.mark.usefixtures("quick")
def test_the_same_study_gives_the_same_bits_and_another_seed_others(tmp_path):
    first, again, other = (
        go(study_of(rounds=2).evolve(seed=seed), tmp_path / name)["model_sha256"]
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first == again != other
