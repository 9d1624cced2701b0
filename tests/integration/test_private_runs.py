"""Studies with privacy lines, run whole: what leaves, what is refused, and that all is paid for."""

import dataclasses
import json
import random
import subprocess
import sys
import time
from collections import Counter
from itertools import takewhile

import numpy as np
import pytest
from integration.federated import FULL, SITES, STEADY, Recorder, go, steps_of, text_of
from limits import allow

from medfed.aggregators.secure.seated import DRAWER
from medfed.core.errors import REFUSALS, QuorumError
from medfed.core.events import RunStarted
from medfed.core.files import read_lines
from medfed.core.study_file import parse_study
from medfed.federation import wire_pb2
from medfed.federation.keys import load_key
from medfed.federation.seat import Seats
from medfed.federation.site_work import Work
from medfed.federation.spool import decode_update
from medfed.federation.wire import Order, open_reply, seal
from medfed.privacy.accountant import epsilon
from medfed.services import run_sites
from medfed.services.privacy_spent import privacy_of
from medfed.services.sites import open_ledger, open_site
from medfed.storage.run_folder import RunFolder

PRIVATE = """
[[privacy]]
name = "dp-sgd"
noise = 2.0
delta = 1e-4
patients = { north = 110, centre = 110, south = 110 }
scores = "none"
"""
PUBLIC_FACTS = """
one_class = "train"
public_ranges = { "mean texture" = [9, 32], "mean smoothness" = [0.06, 0.14] }
"""


def private_text(strategy="fedavg", *, privacy=PRIVATE, **changes):
    text = text_of(strategy, tables=privacy, **changes)
    return text.replace("hidden =", f"{PUBLIC_FACTS}\nhidden =")


def private_study(strategy="fedavg", **changes):
    return parse_study(private_text(strategy, **changes))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A finished private run, and every message that passed."""
    passed = []

    class Channel(run_sites.LocalChannel):
        def send(self, orders):
            self.sent = {**getattr(self, "sent", {}), **dict(orders.values())}
            super().send(orders)

        def replies(self, timeout):
            for delivery in super().replies(timeout):
                passed.append((delivery.site, self.sent[delivery.order], delivery.reply))
                yield delivery

    out = tmp_path_factory.mktemp("private") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_sites, "LocalChannel", Channel)
        result = go(private_study(rounds=2), out)
    return out, result, passed


def resealed(out, message, **changes):
    """An order changed, and signed again by the coordinator itself."""
    parsed = wire_pb2.Order.FromString(message.header)
    fields = {one.name: getattr(parsed, one.name) for one in dataclasses.fields(Order) if one.init}
    return seal(Order(**fields | changes), load_key(out / "coordinator"), message.payload)


def body_of(message, **changes):
    body = json.loads(wire_pb2.Order.FromString(message.header).body)
    return json.dumps({**body, **changes})


def handled(out, message):
    """What the site north answers: the refusal's name, and the update."""
    site = open_site(out / "sites" / "north")
    sealed = site.handle(message)
    reply = open_reply(sealed, site.key.public_key(), "north", len(sealed.payload))
    return reply.refusal, decode_update(sealed.payload) if not reply.refusal else None


def test_nothing_leaves_but_noised_tensors_and_public_numbers(recorded):
    _, result, passed = recorded
    for site, _, message in passed:
        update = decode_update(message.payload)
        assert set(update.stats) <= {"train/steps"}, f"{site} sent {set(update.stats)}"
        assert set(update.weights.values()) <= {110.0}, "the public number of patients"
    assert result["metrics"]["overall"] == {}
    assert not any(result["metrics"]["sites"].values())


def test_no_direction_of_a_sites_change_is_told(recorded):
    """Of updates that are noised at the coordinator it is what the noise is there to hide."""
    out, _, _ = recorded
    rows = RunFolder(out).rows()
    assert RunFolder(out).study().report == "sites"
    assert len(rows) > 1
    assert not any(row.get("site_change") for row in rows)


def test_the_ledger_has_each_round_and_only_those(recorded):
    out, _, _ = recorded
    for site in SITES:
        book = open_ledger(out / "sites" / site)
        assert [(e.round, e.purpose) for e in book.entries()] == [(1, "train"), (2, "train")]
        answers = [a for e in book.entries() for a in e.answers]
        assert {(a.noise, a.rate, a.times) for a in answers} == {(2.0, 64 / 110, 2)}
        assert book.balance().spent == pytest.approx(epsilon(answers, 1e-5))


def orders_of(passed, purpose):
    found = [m for s, m, _ in passed if s == "north"]
    return [m for m in found if wire_pb2.Order.FromString(m.header).purpose == purpose]


def test_the_same_order_again_costs_nothing(recorded, monkeypatch):
    out, _, passed = recorded
    monkeypatch.setattr(Work, "answer", lambda self: pytest.fail("it worked again"))
    before = open_ledger(out / "sites" / "north").balance().spent
    assert handled(out, orders_of(passed, "train")[-1])[0] == ""
    assert open_ledger(out / "sites" / "north").balance().spent == before


def test_work_done_again_is_paid_again_and_differs(recorded):
    out, _, passed = recorded
    order = orders_of(passed, "train")[-1]
    _, first = handled(out, order)
    for file in (out / "sites" / "north" / "runs").rglob("reply/*"):
        file.unlink()  # a power cut took the reply, which may have left
    book = open_ledger(out / "sites" / "north")
    before = len(book.entries())
    _, second = handled(out, order)
    assert len(book.entries()) == before + 1
    assert any(np.any(first.tensors[k] != second.tensors[k]) for k in first.tensors)


@pytest.mark.parametrize("on", ["train", "valid", "test"])
def test_a_coordinator_that_asks_for_figures_gets_none(recorded, on):
    out, _, passed = recorded
    order = orders_of(passed, "evaluate")[-1]
    asked = resealed(out, order, body=body_of(order, score=[on], explain=True, phase="curious"))
    refusal, update = handled(out, asked)
    assert refusal == ""
    assert not update.stats


def test_a_coordinator_that_asks_for_facts_is_refused(recorded):
    out, _, passed = recorded
    order = orders_of(passed, "train")[-1]
    query = {"name": "moments", "columns": ["mean texture"]}
    body = json.dumps({"query": query, "facts": {}})
    refusal, _ = handled(out, resealed(out, order, purpose="query", body=body))
    assert refusal == "not-private"


def test_a_coordinator_that_adds_rounds_is_refused(recorded):
    out, _, passed = recorded
    order = orders_of(passed, "train")[-1]
    refusal, _ = handled(out, resealed(out, order, round=3))
    assert refusal == "not-private"


def test_a_site_that_has_spent_its_limit_refuses_and_the_run_says_so(tmp_path):
    study = private_study(rounds=3)
    said = Recorder()

    def listen(event):
        said(event)
        if type(event).__name__ == "RoundFinished" and event.round == 1:
            allow(open_ledger(tmp_path / "run/sites/south"), 0.1, 1e-5)

    go(study, tmp_path / "run", listen)
    assert said.missing() == [(2, "south", "budget-spent"), (3, "south", "budget-spent")]
    assert REFUSALS["budget-spent"] in said.said(), "one sentence, whatever the reason"
    assert "ε" not in said.said(), "and no figure"
    log = (tmp_path / "run/sites/south/site.log").read_text("utf-8")
    assert "would have spent ε =" in log, "the hospital itself is told"
    assert len(open_ledger(tmp_path / "run/sites/south").entries()) == 1


def test_a_run_with_ledgers_of_its_own_says_that_they_know_of_no_other_run(tmp_path):
    said = Recorder()
    go(private_study(rounds=1), tmp_path / "run", said, report=False)
    assert "ledgers of this run alone" in said.said()
    plain = Recorder()
    go(parse_study(text_of(rounds=1)), tmp_path / "plain", plain, report=False)
    assert "ledgers" not in plain.said()


def test_a_run_whose_own_ledgers_have_no_room_for_it_says_so_before_it_begins(tmp_path):
    said, fits = Recorder(), Recorder()
    dear = parse_study(private_text(rounds=1).replace("noise = 2.0", "noise = 0.4"))
    with pytest.raises(QuorumError, match="budget-spent"):
        go(dear, tmp_path / "dear", said, report=False)
    assert "of the 10 that this run's own ledgers allow, at their δ = 1e-05" in said.said()
    before = takewhile(lambda event: not isinstance(event, RunStarted), said.events)
    assert "own ledgers allow" in " ".join(event.message for event in before)
    go(private_study(rounds=1), tmp_path / "fits", fits, report=False)
    assert "own ledgers allow" not in fits.said()


def test_a_site_without_a_ledger_takes_no_part(recorded, tmp_path):
    out, _, passed = recorded
    site = open_site(out / "sites" / "north")
    site.ledger = None
    order = orders_of(passed, "evaluate")[-1]
    asked = resealed(out, order, body=body_of(order, phase="again"))
    reply = open_reply(site.handle(asked), site.key.public_key(), "north")
    assert reply.refusal == "not-private"


@pytest.mark.parametrize(
    ("strategy", "answers"),
    [("fedprox", 2), ("scaffold", 2), ("fednova", 2), ("fedadam", 2), ("fedsgd", 1)],
)
def test_strategies_learn_from_noised_steps(strategy, answers, tmp_path):
    text = private_text(strategy, rounds=2)
    if strategy == "fedsgd":
        text = text.replace("batch_size = 64\n", "")
    go(parse_study(text), tmp_path / "run", report=False)
    entries = open_ledger(tmp_path / "run/sites/north").entries()
    assert [e.answers[0].times for e in entries] == [answers, answers]
    assert {a.rate for e in entries for a in e.answers} == {1.0 if answers == 1 else 64 / 110}


@pytest.mark.slow
def test_where_held_out_patients_are_public_they_are_scored(tmp_path):
    privacy = PRIVATE.replace('"none"', '"public"').replace("noise = 2.0", "epsilon = 6.0")
    study = private_study(privacy=privacy, rounds=3, top='keep = "best"')
    result = go(study, tmp_path / "run")
    assert result["metrics"]["overall"]["auc"]["value"] > 0.6
    for site in SITES:
        found = open_ledger(tmp_path / "run/sites" / site)
        answers = [a for e in found.entries() for a in e.answers]
        assert 5.9 < epsilon(answers, 1e-4) <= 6.0, "the target, and no more"


def test_what_was_spent_is_told_from_the_ledgers_and_from_nowhere_else(tmp_path):
    study = private_study(rounds=2)
    result = go(study, tmp_path / "run")
    book = open_ledger(tmp_path / "run/sites/north")
    answers = [a for e in book.entries() for a in e.answers]
    north = result["privacy"]["spent"][0]
    assert north == {
        "site": "north",
        "unit": "patient",
        "epsilon": pytest.approx(epsilon(answers, 1e-4)),
        "delta": 1e-4,
        "entries": 2,
    }
    card = (tmp_path / "run/model_card.md").read_text()
    said = f"By the ledger of north, this run cost each patient at most ε = {north['epsilon']:.3g}"
    assert said in card
    assert "all rows and scans of a patient are one unit" in card
    assert privacy_of(study, tmp_path / "nowhere", "x") == {"spent": [], "elsewhere": list(SITES)}


@pytest.mark.parametrize("with_noise", [True, False])
def test_final_figures_from_noised_counts(tmp_path, monkeypatch, with_noise):
    privacy = PRIVATE.replace('"none"', '"noised"\nscore_epsilon = 4.0')
    if not with_noise:
        monkeypatch.setattr("medfed.privacy.noise.SecretRandom.gaussian", lambda _, n: np.zeros(n))
    result = go(private_study(privacy=privacy, rounds=2), tmp_path / "run")
    site = tmp_path / "run/sites/north"
    entries = open_ledger(site).entries()
    assert [(e.purpose, len(e.answers)) for e in entries] == [
        ("train", 1), ("train", 1), ("evaluate", 1),
    ]  # fmt: skip
    assert 3.9 < epsilon(entries[-1].answers, 1e-4) <= 4.0
    figures = result["metrics"]["overall"]
    assert {"auc", "accuracy", "loss"} <= set(figures)
    assert all(figure["low"] is None for figure in figures.values()), "an interval would lie"
    if not with_noise:
        patients = json.loads((tmp_path / "run/run.json").read_text()) and result["patients"]
        assert patients["overall"] == sum(patients[name] for name in SITES) > 90
        assert figures["accuracy"]["value"] * patients["overall"] == pytest.approx(
            round(figures["accuracy"]["value"] * patients["overall"]), abs=1e-6
        )


def test_training_and_held_out_patients_pay_each_for_their_own(tmp_path):
    privacy = PRIVATE.replace('"none"', '"noised"\nscore_epsilon = 0.5')
    go(private_study(privacy=privacy, rounds=2), tmp_path / "run", report=False)
    book = open_ledger(tmp_path / "run/sites/north")
    trained = [a for e in book.entries() if e.purpose == "train" for a in e.answers]
    assert book.balance().spent == pytest.approx(epsilon(trained, 1e-5)), "the most of both"


def test_a_site_with_too_many_patients_for_delta_refuses(tmp_path):
    privacy = PRIVATE.replace("110", "20").replace("delta = 1e-4", "delta = 0.02")
    said = Recorder()
    with pytest.raises(QuorumError, match="too many patients"):
        go(private_study(privacy=privacy), tmp_path / "run", said)
    assert {reason for _, _, reason in said.missing()} == {"not-private"}


def left_and_paid(folder):
    """Rounds whose updates left a site, by its receipts, and rounds that were paid for."""
    receipts = [r for file in folder.glob("receipts/*") for r in read_lines(file)]
    left = Counter(r["round"] for r in receipts if r["purpose"] == "train")
    return left, Counter(entry.round for entry in open_ledger(folder).entries())


def test_nobody_pays_for_another_sites_restart_between_rounds(tmp_path, monkeypatch):
    """Under a secure sum a restarted site has lost what it agreed on with the others."""
    kept = Seats.seat

    def seat(self, order, study):
        found = kept(self, order, study)
        first = order.phase.partition("-")[0] in ("keys", "next")
        if (order.site, order.round, first) == ("south", 2, True):
            found.drawer.clear()
        return found

    monkeypatch.setattr(Seats, "seat", seat)
    go(private_study(aggregator="secure-sum", min_sites=3, rounds=2), tmp_path / "run")
    assert steps_of(tmp_path / "run")[1] == ("next", *FULL), "it began again"
    for site in SITES:
        entries = open_ledger(tmp_path / "run" / "sites" / site).entries()
        assert [entry.round for entry in entries] == [1, 2]


def test_a_steady_private_round_takes_three_exchanges(tmp_path):
    go(private_study(aggregator="secure-sum", min_sites=3, rounds=2), tmp_path / "run")
    assert steps_of(tmp_path / "run") == [FULL, STEADY]


def test_a_conversation_that_begins_again_sums_what_was_paid_for(tmp_path, tampered):
    """The same noise: another would be paid for anew, and tell more of the same patients."""
    seen = []

    def tamper(channel, delivery):
        order = channel.order_of(delivery)
        step = order.phase.partition("-")[0]
        if order.purpose == "train" and step in ("masked", "shares"):
            drawers = channel._sites["north"]._seats._drawers
            (talk,) = [drawer[DRAWER] for drawer in drawers.values() if DRAWER in drawer]
            if talk.update.tensors:
                seen.append({name: one.copy() for name, one in talk.update.tensors.items()})
        return [] if step == "shares" and order.site in ("west", "east") else [delivery]

    tampered(tamper)
    sites = (*SITES, "west", "east")
    privacy = PRIVATE.replace("south = 110", "south = 110, west = 110, east = 110")
    study = private_study(
        aggregator="secure-sum", sites=sites, min_sites=3, rounds=1, privacy=privacy
    )
    go(study, tmp_path / "run")
    assert steps_of(tmp_path / "run")[0] == ("keys", "shares", *FULL)
    assert len(open_ledger(tmp_path / "run" / "sites" / "north").entries()) == 1
    first, last = seen[0], seen[-1]
    assert first.keys() == last.keys()
    assert all(np.array_equal(first[name], last[name]) for name in first)


def test_a_coordinator_that_orders_the_study_again_is_held_to_what_was_approved(recorded):
    out, _, passed = recorded
    order, book = orders_of(passed, "train")[0], open_ledger(out / "sites" / "north")
    allow(book, 100.0, 1e-5)
    refusals = [handled(out, resealed(out, order, run=f"{i:032x}"))[0] for i in range(5)]
    assert refusals[0] == "", "a round that came to nothing may be done anew"
    assert refusals[-1] == "budget-spent"
    assert len(book.entries()) == 2 + 3, "two rounds and privacy_repeats"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_is_killed_again_and_again_has_paid_for_all_that_left(tmp_path):
    study, out = tmp_path / "study.toml", tmp_path / "run"
    study.write_text(private_text(rounds=20).replace("noise = 2.0", "noise = 9.0"))
    command = [sys.executable, "-m", "medfed", "run", str(study), "--out", str(out)]
    ledger, rng = out / "sites/north/ledger.sqlite", random.Random(4)
    for _ in range(5):
        size, go_on = _size(ledger), ["--resume"] if (out / "run.json").exists() else []
        with subprocess.Popen(
            [*command, *go_on], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and _size(ledger) == size:
                time.sleep(0.01)  # until it pays for something
            time.sleep(rng.uniform(0, 0.5))
            process.kill()
        for site in SITES:
            if not go_on:
                with (out / "sites" / site / "site.toml").open("a") as settings:
                    settings.write("privacy_repeats = 5\n")
            left, paid = left_and_paid(out / "sites" / site)
            assert not left - paid, f"{site} gave more than it paid for"
    go(parse_study(study.read_text()), out, resume=True, report=False)
    left, paid = left_and_paid(out / "sites/north")
    assert set(left) == set(range(1, 21))
    assert not left - paid


def _size(ledger):
    """Bytes of a ledger and what is not yet folded into it."""
    files = (ledger, ledger.with_name(ledger.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
