"""Noised statistics in real runs: named by the study, paid from the ledger, refused beyond."""

import json
import re
from dataclasses import replace

import pytest
from integration.federated import SITES, go, refused, study_of, text_of
from limits import allow

from medfed.cli.progress import statistic_line
from medfed.core.errors import REFUSALS, QuorumError
from medfed.core.study import Study
from medfed.core.study_file import parse_study
from medfed.core.update import Update
from medfed.federation.keys import load_key
from medfed.federation.spool import encode_update
from medfed.federation.wire import Order, open_reply, seal, sha256
from medfed.privacy.words import all_promises
from medfed.services.reports.toml_text import study_toml
from medfed.services.sites import open_ledger, open_site

ASKED = """
[[statistics]]
name = "dp-mean"
column = "mean texture"
bounds = [5, 45]
epsilon = 0.5
[[statistics]]
name = "dp-count"
column = "diagnosis"
values = ["malignant"]
epsilon = 0.25
noise = "gaussian"
"""

pytestmark = pytest.mark.usefixtures("quick")


def study(**changes):
    return parse_study(text_of(rounds=1, tables=ASKED, **changes))


@pytest.mark.parametrize("aggregator", ["mean", "secure-sum"])
def test_a_run_tells_the_statistics_and_every_patient_pays(aggregator, tmp_path):
    result = go(study(aggregator=aggregator), tmp_path / "run")
    mean, count = result["statistics"]
    assert mean["mean"] == pytest.approx(19.3, abs=2)
    assert mean["count"] == pytest.approx(569, abs=60)
    assert count["count"] == pytest.approx(212, abs=80)
    for site in SITES:
        entries = open_ledger(tmp_path / "run" / "sites" / site).entries()
        assert len(entries) == 2 * 3  # each for three sets of patients
        assert {entry.purpose for entry in entries} == {"query"}
    spent = {one["site"]: one["epsilon"] for one in result["privacy"]["spent"]}
    assert all(0.5 < value <= 0.76 for value in spent.values())
    assert "mean of" not in statistic_line(mean) or "mean texture" in statistic_line(mean)


def test_they_are_part_of_what_is_approved(tmp_path):
    asked = study()
    plain = study_of(rounds=1)
    assert asked.digest != plain.digest
    assert "statistics" not in plain.to_json()
    assert Study.from_json(json.loads(json.dumps(asked.to_json()))).digest == asked.digest
    assert parse_study(study_toml(asked)).digest == asked.digest


def test_the_check_says_what_they_cost():
    ((name, sentences),) = all_promises(study())
    text = " ".join(sentences)
    assert name == "statistics"
    assert "ε = 0.7" in text
    assert "without noise" in text


def test_a_query_without_noise_is_no_statistic():
    error = refused(text_of(tables='[[statistics]]\nname = "moments"\ncolumns = ["age"]\n'))
    (problem,) = error.problems
    assert problem.field == "statistics[0].name"
    assert "dp-mean" in problem.remedy
    assert problem.line


def test_what_is_wrong_with_one_is_said_with_its_line():
    wrong = ASKED.replace("bounds = [5, 45]", "bounds = [45, 5]")
    error = refused(text_of(tables=wrong))
    assert any(p.field == "statistics[0].bounds" and p.line for p in error.problems)


# --- a coordinator that asks for more -------------------------------------------------------------


@pytest.fixture
def north(tmp_path):
    """A site of a finished run, and its coordinator's key."""
    out = tmp_path / "run"
    go(study(), out)
    return out / "sites" / "north", load_key(out / "coordinator")


def refused_at_last(folder, key):
    """The first refusal, where the same is asked again and again in other words."""
    asked = (ask(folder, key, named(), facts={"n": i}) for i in range(12))
    return next(reply for reply in asked if reply.refusal)


def ask(folder, key, query, run="r2", facts=None):
    payload = encode_update(Update())
    body = json.dumps({"query": query, "facts": facts or {}})
    fields = {"body": body, "payload_sha256": sha256(payload), "payload_bytes": len(payload)}
    order = Order(run, study().digest, "north", 0, "query", "update", 0, **fields)
    site = open_site(folder)
    return open_reply(site.handle(seal(order, key, payload)), site.key.public_key(), "north")


def named():
    return study().statistics[0].to_json()


@pytest.mark.parametrize("change", [{"epsilon": 5.0}, {"column": "mean area"}, {"bounds": [0, 1]}])
def test_another_statistic_than_those_approved_is_refused(change, north):
    folder, key = north
    reply = ask(folder, key, {**named(), **change})
    assert reply.refusal == "not-private"
    assert len(open_ledger(folder).entries()) == 6


def test_the_same_again_in_other_words_pays_again_until_it_is_too_much(north):
    folder, key = north
    refusals = [ask(folder, key, named(), facts={"n": i}).refusal for i in range(12)]
    assert refusals[0] == ""
    assert refusals[-1] == "budget-spent"
    assert len(open_ledger(folder).entries()) > 6


def test_no_figure_of_the_ledger_is_in_the_refusal(north):
    """What is left would tell what other studies cost, and whether their patients are the same."""
    folder, key = north
    allow(open_ledger(folder), 1.37, 1e-5)
    reply = refused_at_last(folder, key)
    sentence = REFUSALS["budget-spent"]
    assert (reply.refusal, reply.message) == ("budget-spent", sentence)
    assert not any(sign.isdigit() for sign in sentence)
    log = (folder / "site.log").read_text()
    assert re.search(rf"{re.escape(sentence)}: .* would have spent ε = [\d.]+ of 1.37", log)


def test_another_reason_of_the_ledger_sounds_the_same(north):
    folder, key = north
    first = ask(folder, key, named(), facts={"n": 0})
    assert first.refusal == ""
    book = open_ledger(folder)
    book.set_limit(replace(book.limit(), epsilon=100.0, delta=0.05))
    too_large = ask(folder, key, named(), facts={"n": 1})
    allow(open_ledger(folder), 100.0, 1e-5)
    beyond = refused_at_last(folder, key)
    for reply in (too_large, beyond):
        assert (reply.refusal, reply.message) == ("budget-spent", REFUSALS["budget-spent"])
    log = (folder / "site.log").read_text()
    assert "the δ of 0.05 is too large for 117 patients" in log
    assert "the study would have cost a patient" in log


def test_a_ledger_that_is_used_up_answers_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("medfed.storage.ledger_limits.EPSILON", 0.1)
    with pytest.raises(QuorumError, match="budget-spent"):
        go(study(), tmp_path / "run")


def test_a_delta_that_is_too_large_for_a_site_is_refused_before_anything_is_paid(tmp_path):
    large = ASKED.replace('"gaussian"', '"gaussian"\ndelta = 0.02')
    with pytest.raises(QuorumError, match="too many patients for the δ of a statistic"):
        go(parse_study(text_of(rounds=1, tables=large)), tmp_path / "run")
    assert not open_ledger(tmp_path / "run/sites/north").entries()


def test_patients_who_are_called_by_their_row_cannot_be_told_apart():
    table = '[source]\nname = "csv"\npatient = ""\n'
    text = text_of(tables=ASKED)
    start, end = text.index("[source]"), text.index("[split]")
    error = refused(text[:start] + table + text[end:])
    assert any("by their row" in problem.message for problem in error.problems)
