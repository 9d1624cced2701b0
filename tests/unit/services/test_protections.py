"""What studies promise, worked out here and in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading

import pytest
from accounting import EXAMPLES
from working_sites import a_study

from medfed.core.errors import RunError
from medfed.core.registry import Part, make
from medfed.core.study_file import read_study
from medfed.privacy.accountant import epsilon
from medfed.services import protections as at_work
from medfed.services.part_list import parts_json
from medfed.services.prices import Price, prices
from medfed.services.protections import Protections, protections
from medfed.services.trouble import Busy
from medfed.web.errors import status_of

NOISED = read_study(EXAMPLES / "breast_cancer_dp.toml")


def test_a_plain_study_promises_nothing_and_needs_no_process():
    assert Protections(["false"]).of(a_study()) == ()


def test_a_price_is_what_the_ledger_would_enter():
    (north,) = (price for price in prices(NOISED) if price.site == "north")
    assert north.unit == "patient"
    assert 2.9 < epsilon(north.answers, 1e-4) <= 3.0
    assert Price.from_json(json.loads(json.dumps(north.to_json()))) == north
    assert Protections(["false"]).prices(a_study(), "north") == ()


def test_statistics_and_training_are_one_price():
    asked = read_study(EXAMPLES / "breast_cancer_statistics.toml").statistics
    alone, both = prices(a_study(statistics=asked)), prices(NOISED.evolve(statistics=asked))
    assert [price.site for price in alone] == list(NOISED.sites)
    assert all(set(a.answers) < set(b.answers) for a, b in zip(alone, both, strict=True))


def test_a_secure_sum_is_explained_without_a_process():
    (said,) = Protections(["false"]).of(a_study(aggregator=Part("secure-sum", {})))
    assert said.name == "secure-sum"
    assert said.sentences[0].startswith("Protects each site's update")


MECHANISMS = {
    "dp-sgd": NOISED.privacy[0],
    "hospital-dp": Part("hospital-dp", {"epsilon": 1.0}),
    "local-dp": Part("local-dp", {"epsilon": 1.0}),
}
ADVERSARIES = ("coordinator", "hostile", "whoever reads", "whoever has the model")


@pytest.mark.parametrize("kind", ["mechanism", "aggregator"])
def test_every_guarantee_names_its_adversary_and_its_end(kind):
    """Of each part that is registered: one that is silent on either promises too much."""
    for name in parts_json((kind,))[kind]:
        if name == "mean":  # which promises nothing
            continue
        if kind == "mechanism":
            said = " ".join(make(kind, MECHANISMS[name]).protects())
        else:
            said = " ".join(make(kind, Part(name, {})).protection(5, 4))
        assert "Protects" in said, name
        assert any(adversary in said for adversary in ADVERSARIES), (name, said)
        if kind == "aggregator":
            assert re.search("not protect|Does not|does not", said), (name, said)


def test_a_robust_rule_says_how_many_hostile_sites_it_bears():
    (said,) = protections(a_study(aggregator=Part("median", {}), min_sites=2))
    assert said.sentences[0].startswith("Protects the model against no hostile site")
    (said,) = protections(a_study(aggregator=Part("median", {}), min_sites=3))
    assert "in a round of 3 sites, the fewest that it may have, up to 1 cannot" in said.sentences[0]
    krum = make("aggregator", Part("multi-krum", {"wrong": 2}))
    assert "in a round of 7 sites, the fewest that it may have, up to 2" in krum.protection(9, 3)[0]
    assert (
        "depends on that"
        in make("aggregator", Part("centred-clipping", {"radius": 1.0})).protection(5, 5)[0]
    )


@pytest.mark.slow
def test_another_process_says_the_same_and_is_asked_once(monkeypatch):
    console = Protections()
    found = console.of(NOISED)
    assert list(found) == protections(NOISED)
    assert "Costs a patient of " in " ".join(found[0].sentences)
    assert console.prices(NOISED, "north") == tuple(p for p in prices(NOISED) if p.site == "north")
    monkeypatch.setattr("subprocess.run", None)
    assert console.of(NOISED) is found


@pytest.mark.slow
def test_other_words_for_people_are_no_other_study(monkeypatch):
    console = Protections()
    found = console.of(NOISED)
    monkeypatch.setattr("subprocess.run", None)
    assert console.of(NOISED.evolve(title="Another", question="Why?")) is found


def test_a_failure_counts_for_a_while_and_starts_no_second_process(monkeypatch):
    console, run, asked = Protections(["false"]), subprocess.run, []

    def counted(*given, **more):
        asked.append(given)
        return run(*given, **more)

    monkeypatch.setattr("subprocess.run", counted)
    for _ in range(3):
        with pytest.raises(RunError, match="could not be worked out"):
            console.of(NOISED)
    assert len(asked) == 1
    monkeypatch.setattr(at_work, "FAILED_SECONDS", -1.0)
    other = NOISED.evolve(seed=NOISED.seed + 1)
    for _ in range(2):
        with pytest.raises(RunError, match="could not be worked out"):
            console.of(other)
    assert len(asked) == 3


def test_nobody_waits_long_for_others_and_what_is_known_is_told_meanwhile(monkeypatch):
    console, begun, over = Protections(), threading.Event(), threading.Event()
    found = console.of(NOISED)

    def slow(study):
        begun.set()
        over.wait(60)
        return at_work.Told()

    monkeypatch.setattr(console, "_asked", slow)
    monkeypatch.setattr(at_work, "WAIT_SECONDS", 0.01)
    first = threading.Thread(target=console.of, args=(NOISED.evolve(rounds=3),))
    first.start()
    assert begun.wait(60)
    with pytest.raises(Busy, match="being worked out") as busy:
        console.of(NOISED.evolve(rounds=4))
    assert status_of(busy.value) == 429
    assert console.of(NOISED) is found
    over.set()
    first.join()
    assert console.of(NOISED.evolve(rounds=4)) == ()


def test_few_may_wait(monkeypatch):
    console = Protections(["false"])
    for _ in range(at_work.WAITING):
        console._places.acquire()
    monkeypatch.setattr("subprocess.run", None)
    with pytest.raises(Busy):
        console.of(NOISED)


@pytest.mark.parametrize("command", [("false",), ("echo", "{}"), ("echo",), ("no-such-program",)])
def test_a_process_that_says_nothing_is_no_answer(command):
    with pytest.raises(RunError, match="could not be worked out"):
        Protections(command).of(NOISED)


def test_the_process_is_this_very_program():
    assert Protections()._command[0] == sys.executable
