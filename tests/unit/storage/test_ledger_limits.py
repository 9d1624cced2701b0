"""The limits of a ledger: the filter beside the sum, limits that are replaced, ledgers of old."""

import json
import sqlite3

import pytest
from counting import Counting
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import allow

from medfed.core.errors import Refused
from medfed.core.ledger import Limit, Spend
from medfed.core.mechanism import Cost, NoisyAnswer
from medfed.privacy.accountant import LossAccountant, epsilon
from medfed.privacy.renyi import bound, divergence, order_for
from medfed.storage.ledger import SqliteLedger
from medfed.storage.ledger_head import HEAD

EVERYBODY = tuple(f"p{i}" for i in range(30))
RARE = NoisyAnswer("gaussian", 0.8, 0.05)
"""Drawn rarely, with little noise: what a filter of a high order admits least of."""


def spend(*answers, patients=EVERYBODY, unit="patient", run="r"):
    cost = Cost(unit, answers)
    return Spend("digest", "A study", run, "o", 1, "train", "s", patients, cost)


def times(answer, count):
    return NoisyAnswer(answer.kind, answer.noise, answer.rate, count)


@pytest.fixture
def ledger(tmp_path):
    return SqliteLedger(tmp_path / "ledger.sqlite", LossAccountant())


def test_a_new_ledger_is_behind_a_filter_that_stays_as_it_was_fixed(ledger):
    first = Limit(10.0, 1e-5, "proven", order_for(10.0, 1e-5))
    assert ledger.limit() == first, "before anything is written"
    ledger.spend(spend(NoisyAnswer("gaussian", 20.0)))
    ledger.limits.order = lambda *_: 99  # a later medfed finds others better
    assert [ledger.limit(unit) for unit in ("patient", "record", "hospital")] == [first] * 3


def test_the_filter_refuses_what_the_sum_would_admit_and_says_what_to_do(ledger):
    allow(ledger, 3.0, 1e-5)
    ledger.spend(spend(NoisyAnswer("gaussian", 20.0, 1.0, 10)))
    with pytest.raises(Refused) as no:
        ledger.spend(spend(times(RARE, 10)))
    assert no.value.name == "budget-spent"
    assert "what the filter of order 7 admits" in no.value.inside
    for remedy in ("medfed ledger set-limit", "--epsilon", "--order", "--rule sum"):
        assert remedy in no.value.inside
    assert len(ledger.entries()) == 1, "a refusal enters nothing"
    allow(ledger, 3.0, 1e-5, order=5)
    assert ledger.spend(spend(times(RARE, 2))).used <= 1.0, "a lower order admits some of it"
    with pytest.raises(Refused):
        ledger.spend(spend(times(RARE, 8)))
    allow(ledger, 3.0, 1e-5, rule="sum")
    found = ledger.spend(spend(times(RARE, 6)))
    assert (found.within, found.proven) == (True, False)
    with pytest.raises(Refused) as no:
        ledger.spend(spend(times(RARE, 100)))
    assert "--rule" not in no.value.inside, "no rule would admit it"


def test_the_sum_still_has_to_hold_beside_the_filter(tmp_path):
    class Careless(Counting):
        def used(self, answers, limit):
            return 0.0

    ledger = SqliteLedger(tmp_path / "ledger.sqlite", Careless())
    with pytest.raises(Refused):
        ledger.spend(spend(times(RARE, 11)))


def test_a_rule_stays_until_another_is_given_and_the_order_follows_the_limit(ledger):
    allow(ledger, 3.0, 1e-5, rule="sum", order=5)
    assert ledger.limit() == Limit(3.0, 1e-5, "sum", 5)
    allow(ledger, 1.0, 1e-6)
    assert ledger.limit() == Limit(1.0, 1e-6, "sum", order_for(1.0, 1e-6))
    assert ledger.limit("record") == ledger.limit(), "a record's is the patient's"
    allow(ledger, 2.0, 1e-5, "record", rule="proven")
    assert ledger.limit().rule == "sum"
    assert [(one.unit, one.limit.epsilon) for one in ledger.limit_history()] == [
        ("patient", 10.0),
        ("hospital", 10.0),
        ("patient", 3.0),
        ("patient", 1.0),
        ("record", 2.0),
    ]
    assert all(one.time for one in ledger.limit_history())


def test_a_raised_limit_counts_all_that_was_spent_before(ledger):
    allow(ledger, 1.0, 1e-5)
    ledger.spend(spend(NoisyAnswer("gaussian", 20.0, 1.0, 20)))
    before = ledger.balance()
    allow(ledger, 3.0, 1e-5)
    after = ledger.balance()
    assert after.spent == before.spent
    answers = [NoisyAnswer("gaussian", 20.0, 1.0, 20)]
    assert after.used == pytest.approx(divergence(answers, 7) / bound(3.0, 1e-5, 7))


def of_form(path, version):
    """Bring a ledger back to how an older medfed kept it."""
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT unit, epsilon, delta FROM limits ORDER BY number").fetchall()
        db.execute("DROP TABLE limits")
        db.execute(
            "CREATE TABLE limits "
            "(unit TEXT PRIMARY KEY, epsilon REAL NOT NULL, delta REAL NOT NULL)"
        )
        db.executemany("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", rows)
        db.execute("DELETE FROM limits WHERE epsilon = 10")
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    covers_no_limits(path.with_name(HEAD))


def covers_no_limits(head):
    """Bring a head back to how an older medfed wrote it."""
    found = json.loads(head.read_bytes())
    head.write_text(json.dumps({name: found[name] for name in ("entries", "sha256")}))


@pytest.mark.parametrize("set_before", [True, False])
def test_a_ledger_of_the_form_before_is_put_behind_a_filter_with_all_it_holds(ledger, set_before):
    if set_before:
        allow(ledger, 4.0, 1e-6)
    ledger.spend(spend(NoisyAnswer("gaussian", 20.0, 1.0, 20)))
    spent, used = ledger.balance().spent, ledger.balance().used
    of_form(ledger.path, 2)
    again = SqliteLedger(ledger.path, LossAccountant())
    most, delta = (4.0, 1e-6) if set_before else (10.0, 1e-5)
    expected = Limit(most, delta, "proven", order_for(most, delta))
    assert again.limit() == expected, "reading changes nothing, and knows it all the same"
    assert (again.balance().spent, again.balance().used) == (spent, used)
    again.spend(spend(NoisyAnswer("gaussian", 20.0)))
    assert again.limit() == expected
    assert len(again.entries()) == 2
    assert again.balance().used > used


def test_a_ledger_of_old_beyond_its_filter_admits_nothing_until_the_hospital_decides(ledger):
    allow(ledger, 3.0, 1e-5, rule="sum")
    ledger.spend(spend(times(RARE, 11)))
    of_form(ledger.path, 2)
    again = SqliteLedger(ledger.path, LossAccountant())
    found = again.balance()
    assert (found.rule, found.within, found.spent < found.limit) == ("proven", False, True)
    with pytest.raises(Refused) as no:
        again.spend(spend(NoisyAnswer("gaussian", 1000.0)))
    assert "--rule sum" in no.value.inside
    allow(again, 3.0, 1e-5, rule="sum")
    again.spend(spend(NoisyAnswer("gaussian", 1000.0)))


ANSWERS = st.builds(
    NoisyAnswer,
    st.just("gaussian"),
    st.floats(2.0, 20.0).map(lambda z: round(z, 1)),
    st.sampled_from([0.1, 1.0]),
    st.integers(1, 20),
)
WORK = st.tuples(ANSWERS, st.sets(st.integers(0, 5), min_size=1))


@settings(max_examples=6, deadline=None)
@given(asked=st.lists(WORK, max_size=6), data=st.data())
def test_whatever_is_asked_for_in_whatever_order_each_patient_stays_within(
    asked, data, tmp_path_factory
):
    """An adversary knows what was admitted and chooses what comes next, cohorts too."""
    ledger = SqliteLedger(tmp_path_factory.mktemp("l") / "ledger.sqlite", LossAccountant())
    allow(ledger, 1.0, 1e-3)
    limit = ledger.limit()
    own = {patient: [] for patient in range(6)}
    for answer, cohort in data.draw(st.permutations(asked)):
        try:
            ledger.spend(spend(answer, patients=[f"p{i}" for i in cohort]))
        except Refused:
            continue
        for patient in cohort:
            own[patient].append(answer)
    for answers in own.values():
        assert divergence(answers, limit.order) <= bound(1.0, 1e-3, limit.order)
        assert epsilon(answers, 1e-3) <= 1.0
