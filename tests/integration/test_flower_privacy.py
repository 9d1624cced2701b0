"""What protects patients, over a true SuperLink: each kind in a study of two rounds."""

from __future__ import annotations

import os

import numpy as np
import pytest
from integration.federated import SITES, figures, finite, go, text_of

pytest.importorskip("flwr", reason="the extra `flower` is not installed")

from integration.standing import Standing, Watch, await_

from medfed.aggregators.encrypted import paillier_keys, paillier_scheme
from medfed.aggregators.encrypted.ckks_scheme import CkksScheme
from medfed.core.registry import make
from medfed.core.study_file import parse_study
from medfed.federation.keys import load_public
from medfed.federation.peers import pin
from medfed.privacy.accountant import epsilon
from medfed.services.federation import loopback
from medfed.services.prices import prices
from medfed.services.sites import open_ledger
from medfed.storage.models import read_model
from medfed.storage.run_folder import RunFolder

FACTS = """one_class = "train"
public_ranges = { "mean texture" = [9, 32], "mean smoothness" = [0.06, 0.14] }
hidden ="""
PATIENTS = "patients = { north = 110, centre = 110, south = 110 }"
STATISTIC = """
[[statistics]]
name = "dp-variance"
column = "mean texture"
bounds = [5, 45]
epsilon = 0.5
"""
LINES = {
    "dp-sgd": f'[[privacy]]\nname = "dp-sgd"\nnoise = 2.0\ndelta = 1e-4\n{PATIENTS}\n',
    "noised-scores": f'[[privacy]]\nname = "dp-sgd"\nnoise = 2.0\nscores = "noised"\n{PATIENTS}\n',
    "hospital-dp": '[[privacy]]\nname = "hospital-dp"\nnoise = 1.0\nquantile = 0.5\n',
    "local-dp": '[[privacy]]\nname = "local-dp"\nepsilon = 4.0\nlabel_epsilon = 2.0\n',
    "statistics": STATISTIC,
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("quick"),
]


SHORT_KEYS = """
from importlib.util import find_spec

if find_spec("heu"):
    from medfed.aggregators.encrypted import paillier_keys, paillier_scheme

    paillier_keys.BITS, paillier_scheme.PAYLOAD = 1024, 120
"""
"""For the sites' processes too: Paillier's library takes seconds over a key of full length."""


@pytest.fixture(scope="module")
def short_keys(tmp_path_factory):
    place = tmp_path_factory.mktemp("custom")
    (place / "sitecustomize.py").write_text(SHORT_KEYS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(place), prepend=os.pathsep)
        patch.setattr(paillier_keys, "BITS", 1024)
        patch.setattr(paillier_scheme, "PAYLOAD", 120)
        yield


@pytest.fixture(scope="module")
def standing(short_keys, tmp_path_factory):
    """One federation of three sites that know each other's keys, for all tests here."""
    with Standing(tmp_path_factory.mktemp("standing"), SITES) as made:
        known = {name: load_public(made.home / name / "key.pub") for name in SITES}
        for name in SITES:
            pin(made.home / name, known)
        yield made


@pytest.fixture
def over(standing, tmp_path, monkeypatch):
    """Run a study over the federation; its result, and its folder."""
    monkeypatch.setattr(loopback, "open_loopback", standing.open)

    def run(study, watch=lambda _: None):
        standing.approve(study)
        out = tmp_path / "flower"
        return go(study, out, watch, sites=standing.home, engine="flower"), out

    return run


def private(name):
    text = text_of(rounds=2, tables=LINES[name])
    return parse_study(text if name == "statistics" else text.replace("hidden =", FACTS))


@pytest.mark.parametrize("name", LINES)
def test_what_is_promised_is_paid_for_at_every_site(name, over, standing, tmp_path):
    study = private(name)
    result, out = over(study)
    assert finite(out)
    run = RunFolder(out).record()["run"]
    told = {(row["site"], row["unit"]): row for row in result["privacy"]["spent"]}
    asked = prices(study)
    assert {(price.site, price.unit) for price in asked} == set(told)
    for price in asked:
        own = told[price.site, price.unit]
        book = open_ledger(standing.home / price.site)
        paid = [e for e in book.entries() if e.run == run and e.unit == price.unit]
        trained = [e.round for e in paid if e.purpose == "train"]
        once = any(make("mechanism", part).once for part in study.privacy)
        assert trained == ([] if name == "statistics" else [1] if once else [1, 2])
        assert [e.purpose for e in paid].count("evaluate") == (name == "noised-scores")
        assert own["entries"] == len(paid) > 0
        # Noised scores are paid by test patients, of whom a study's price does not speak.
        assert own["epsilon"] == pytest.approx(epsilon(price.answers, own["delta"]), rel=1e-6)
        assert len(standing.receipts(price.site, run)) >= 3
    assert bool(result["metrics"]["overall"]) is (name in ("noised-scores", "statistics"))
    if study.privacy:
        local = go(study, tmp_path / "local")
        assert local["model_sha256"] != result["model_sha256"], "noise is another each time"


@pytest.mark.parametrize(("aggregator", "package"), [("ckks", "tenseal"), ("paillier", "heu")])
def test_an_encrypted_sum_is_the_plain_one(aggregator, package, over, tmp_path):
    """The secure sum is held to the same bits in test_flower.py."""
    pytest.importorskip(package, reason="the extra he is not installed, or has no wheel here")
    result, out = over(encrypted(aggregator))
    go(encrypted("mean"), tmp_path / "plain")
    plain, found = tensors(tmp_path / "plain"), tensors(out)
    assert found.keys() == plain.keys()
    for name, value in plain.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)
    parts = [sorted(row["participants"]) for row in figures(out) if row["participants"]]
    assert parts == [sorted(SITES)] * 2
    assert result["metrics"]["overall"]


def test_ciphertexts_come_in_parts_and_a_superlink_that_is_killed_loses_none(
    over, standing, tmp_path, monkeypatch
):
    """Small parts: some have come and others are in hand when the line is cut."""
    pytest.importorskip("tenseal", reason="the extra he is not installed, or has no wheel here")
    monkeypatch.setattr(CkksScheme, "part", 2)  # the sites are told how many there are
    study = encrypted("ckks", hidden=(192, 128), rounds=1)

    def part_has_come(run):
        return any("(part 2 of " in one["sentence"] for one in standing.receipts("north", run))

    def trouble():
        run = RunFolder(tmp_path / "flower").record()["run"]
        await_(lambda: part_has_come(run))
        standing.link.kill()
        standing.link.start()

    watch = Watch(trouble, at=1)
    result, out = over(study, watch)
    watch.end()
    assert not watch.missing()
    assert not watch.counted_twice()
    go(encrypted("mean", hidden=(192, 128), rounds=1), tmp_path / "plain")
    plain, found = tensors(tmp_path / "plain"), tensors(out)
    for name, value in plain.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)
    run = RunFolder(out).record()["run"]
    said = [
        one["sentence"] for one in standing.receipts("centre", run) if one["purpose"] == "train"
    ]
    parts = [f"(part {number} of 5)" for number in range(1, 6)]
    assert [sum(part in sentence for sentence in said) for part in parts] == [1] * 5
    assert result["metrics"]["overall"]


def encrypted(aggregator, rounds=2, **more):
    """Facts are declared: what is asked of sites is encrypted too, and costs as much as a round."""
    study = text_of(aggregator=aggregator, rounds=rounds, **more)
    return parse_study(study.replace("hidden =", FACTS))


def tensors(out):
    return read_model(out / "model.safetensors")[0]
