"""The ledger: nothing is given away that is not entered, whoever kills the site and when."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from counting import Counting
from limits import allow

from medfed.core.errors import REFUSALS, Refused, SiteError
from medfed.core.ledger import Spend
from medfed.core.mechanism import Cost, NoisyAnswer
from medfed.core.vault import OPEN
from medfed.privacy.accountant import LossAccountant, epsilon
from medfed.privacy.at_rest.vault import SealedVault
from medfed.storage.ledger import SqliteLedger
from medfed.storage.ledger_file import LedgerFile
from medfed.storage.ledger_head import HEAD, REMEDY

EVERYBODY = tuple(f"p{i}" for i in range(30))


def spend(
    patients=EVERYBODY,
    *,
    times=1,
    noise=2.0,
    source="s",
    order="o",
    unit="patient",
    run="r",
    study="digest",
    approved=0,
):
    cost = Cost(unit, (NoisyAnswer("gaussian", noise, 1.0, times),))
    most = (NoisyAnswer("gaussian", 2.0, 1.0, approved),) if approved else ()
    return Spend(study, "A study", run, order, 1, "train", source, patients, cost, most, 1e-3)


def refusal(ledger, spend):
    """Why it is refused, as the hospital itself is told; anybody else hears one sentence."""
    with pytest.raises(Refused) as no:
        ledger.spend(spend)
    assert (no.value.name, str(no.value)) == ("budget-spent", REFUSALS["budget-spent"])
    return no.value.inside


@pytest.fixture
def ledger(tmp_path):
    return SqliteLedger(tmp_path / "ledger.sqlite", Counting())


def test_it_adds_up_and_refuses_what_would_pass_the_limit(ledger):
    for i in range(1, 11):
        assert ledger.spend(spend()).spent == i
    assert "would have spent ε = 11 of 10" in refusal(ledger, spend())
    assert ledger.balance().spent == 10, "a refusal enters nothing"
    assert len(ledger.entries()) == 10


def test_a_hospital_sets_its_own_limit(ledger):
    allow(ledger, 2.0, 1e-6)
    ledger.spend(spend(times=2))
    with pytest.raises(Refused):
        ledger.spend(spend())
    allow(ledger, 3.0, 1e-6)
    assert ledger.spend(spend()).spent == 3


def test_no_limit_means_no_work(ledger):
    allow(ledger, 0.0, 1e-5)
    with pytest.raises(Refused):
        ledger.spend(spend())


def test_patients_who_are_in_both_pay_for_both_and_others_do_not(ledger):
    ledger.spend(spend(EVERYBODY[:20], times=4))
    assert ledger.spend(spend(EVERYBODY[20:], times=3)).spent == 3
    assert ledger.spend(spend(EVERYBODY[15:25], times=2)).spent == 6
    assert ledger.balance().spent == 6
    assert ledger.spend(spend(EVERYBODY[:15], times=1)).spent == 5
    with pytest.raises(Refused):
        ledger.spend(spend(EVERYBODY, times=5))  # those in the middle would be at 11


def test_identifiers_of_two_sources_may_be_the_same_people(ledger):
    ledger.spend(spend(EVERYBODY, times=4, source="table"))
    assert ledger.spend(spend(("x1", "x2"), times=3, source="scans")).spent == 7
    assert ledger.balance().spent == 7


def test_a_study_costs_what_it_was_approved_for_under_however_many_runs(ledger):
    for run in ("first", "second", "third"):
        ledger.spend(spend(approved=3, run=run))
    why = refusal(ledger, spend(approved=3, run="fourth"))
    assert "would have cost a patient ε = 4 in all its runs" in why
    assert "privacy_repeats" in why
    assert len(ledger.entries()) == 3, "a refusal enters nothing"
    ledger.spend(spend(approved=3, study="another"))
    ledger.spend(spend(("somebody new",), approved=3, run="fourth"))


def test_answers_that_were_not_foreseen_count_by_what_they_cost(ledger):
    ledger.spend(spend(approved=3, noise=7.0, times=3))
    assert "in all its runs" in refusal(ledger, spend(approved=3, noise=7.0))


def test_a_hospital_is_a_unit_of_its_own(ledger):
    ledger.spend(spend(times=8))
    assert ledger.spend(spend((), times=5, unit="hospital")).spent == 5
    assert ledger.balance("patient").spent == 8
    assert ledger.balance("hospital").spent == 5


def test_what_one_run_spent(ledger):
    ledger.spend(spend(times=2, run="first"))
    ledger.spend(spend(times=3, run="second"))
    assert [ledger.balance(run=r).spent for r in ("first", "second", "third")] == [2, 3, 0]


def test_what_one_study_spent_in_all_its_runs(ledger):
    ledger.spend(spend(times=2, run="first"))
    ledger.spend(spend(times=3, run="second"))
    ledger.spend(spend(times=1, study="another"))
    assert [ledger.balance(study=s).spent for s in ("digest", "another", "third")] == [5, 1, 0]


def test_those_of_the_same_past_stand_together(ledger):
    ledger.spend(spend(EVERYBODY[:20], times=4, run="first"))
    ledger.spend(spend(EVERYBODY[15:], times=2, run="second"))
    ledger.spend(spend((), times=1, unit="hospital", run="third"))
    found = [(each.members, each.runs, each.spent) for each in ledger.standings()]
    assert found == [(5, ("first", "second"), 6), (15, ("first",), 4), (10, ("second",), 2)]
    assert [each.members for each in ledger.standings("hospital")] == [1]
    assert ledger.standings("record") == []


def test_what_more_work_would_come_to_is_told_and_not_entered(ledger):
    more = (NoisyAnswer("gaussian", 2.0, 1.0, 3),)
    assert ledger.after(more, "s").spent == 3, "nobody spent anything"
    ledger.spend(spend(times=4))
    ledger.spend(spend(EVERYBODY[:3], times=2))
    assert ledger.after(more, "s").spent == 9
    assert ledger.balance().spent == 6


def test_what_more_work_on_a_new_source_would_come_to_is_what_it_is_refused_for(ledger):
    allow(ledger, 8.0, 1e-5)
    ledger.spend(spend(EVERYBODY[:10], times=4))
    ledger.spend(spend(EVERYBODY[10:], times=3))
    more = (NoisyAnswer("gaussian", 2.0, 1.0, 3),)
    assert ledger.after(more, "s").spent == 7
    assert ledger.after(more, "new").spent == 10, "they may be all those of the other source"
    assert "would have spent ε = 10 of 8" in refusal(ledger, spend(times=3, source="new"))


def test_studies_are_composed_and_not_added(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.sqlite", LossAccountant())
    first = ledger.spend(spend(noise=4.0, times=10)).spent
    both = ledger.spend(spend(noise=4.0, times=10, run="another")).spent
    assert both == pytest.approx(epsilon([NoisyAnswer("gaussian", 4.0, 1.0, 20)], 1e-5))
    assert both < 2 * first * 0.8


def test_delta_must_be_below_one_by_the_number_of_patients(ledger):
    allow(ledger, 10.0, 0.05)
    assert "0.05 is too large for 30 patients" in refusal(ledger, spend())


def test_a_delta_is_told_too_large_for_those_who_were_in_some_work(ledger):
    ledger.limit_for(10, 0.1)
    ledger.spend(spend(EVERYBODY[:20]))
    ledger.spend(spend(EVERYBODY[:5], source="small"))
    ledger.spend(spend((), unit="hospital"))
    assert [ledger.crowd(source=source) for source in (None, "s", "small", "new")] == [20, 20, 5, 0]
    ledger.limit_for(10, 0.049)
    ledger.limit_for(10, 0.1, "hospital")
    with pytest.raises(SiteError, match="too large for the 20 patients"):
        ledger.limit_for(10, 0.05)


def test_nobody_can_be_read_in_the_file(ledger):
    ledger.spend(spend(("Maria Muster",)))
    assert b"Muster" not in ledger.path.read_bytes()
    assert ledger.path.stat().st_mode & 0o077 == 0
    assert b"Muster" not in json.dumps([e.title for e in ledger.entries()]).encode()


def test_no_two_ledgers_call_the_same_patient_alike(tmp_path):
    """Else whoever has names, or another hospital's ledger, finds them by trying."""

    def members(name):
        book = SqliteLedger(tmp_path / name, Counting())
        book.spend(spend(("Maria Muster", "Max Muster")))
        with sqlite3.connect(book.path) as db:
            return {row[0] for row in db.execute("SELECT member FROM cohorts")}

    one, other = members("one.sqlite"), members("other.sqlite")
    assert len(one | other) == 4


def test_each_entry_is_on_the_disk_when_it_is_made(ledger):
    ledger.spend(spend())
    with sqlite3.connect(ledger.path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with ledger.file.open() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"


def test_many_at_once_never_pass_the_limit(ledger):
    def one(_):
        try:
            SqliteLedger(ledger.path, Counting()).spend(spend())
        except Refused:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(24))) == 10
    assert ledger.balance().spent == 10


def test_a_damaged_file_stops_everything(ledger):
    ledger.path.write_bytes(b"not a ledger" * 100)
    with pytest.raises(SiteError, match="cannot be used"):
        ledger.spend(spend())


def test_a_file_that_was_only_begun_is_an_empty_ledger(ledger):
    ledger.path.touch()
    assert ledger.entries() == []
    assert ledger.balance().spent == 0
    assert ledger.spend(spend()).spent == 1


@pytest.fixture(params=[False, True], ids=["open", "sealed"])
def book(request, tmp_path):
    vault = SealedVault(tmp_path, bytes(32)) if request.param else OPEN
    return SqliteLedger(tmp_path / "ledger.sqlite", Counting(), vault)


def emptied(book, old):
    book.path.write_bytes(b"")


def older(book, old):
    book.path.write_bytes(old[book.path])


def beheaded(book, old):
    book.path.with_name(HEAD).unlink()


def older_and_beheaded(book, old):
    older(book, old)
    beheaded(book, old)


def another_head(book, old):
    book.path.with_name(HEAD).write_bytes(b'{"entries": 0, "sha256": ""}'[:-1])


def gone(book, old):
    book.path.unlink()


@pytest.mark.parametrize("harm", [emptied, older, beheaded, older_and_beheaded, another_head, gone])
def test_a_ledger_that_forgot_something_answers_nothing(harm, book):
    allow(book, 10.0, 1e-5)
    book.spend(spend(times=3))
    old = {file: file.read_bytes() for file in book.path.parent.iterdir()}
    book.spend(spend(times=3))
    harm(book, old)
    again = SqliteLedger(book.path, Counting(), book.vault)
    for work in (lambda: again.spend(spend()), again.balance, again.entries):
        with pytest.raises(SiteError) as no:
            work()
        assert no.value.remedy == REMEDY


def test_a_kill_between_an_entry_and_its_head_stops_nobody(book, monkeypatch):
    def killed(self, db):
        raise KeyboardInterrupt

    for times in (1, 2):  # at the very first entry too
        with monkeypatch.context() as patched:
            patched.setattr(LedgerFile, "keep_head", killed)
            with pytest.raises(KeyboardInterrupt):
                book.spend(spend())
        assert book.balance().spent == 2 * times - 1, "it was entered"
        assert book.spend(spend()).spent == 2 * times


def test_no_answer_leaves_before_the_head_is_written(book, monkeypatch):
    book.spend(spend())

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(book.vault), "write", full)
    with pytest.raises(SiteError, match="No space left"):
        book.spend(spend())


def test_a_ledger_of_the_first_form_gets_a_head(ledger):
    ledger.spend(spend())
    ledger.path.with_name(HEAD).unlink()
    with sqlite3.connect(ledger.path) as db:
        db.execute("DROP TABLE limits")
        db.execute("CREATE TABLE limits (unit TEXT PRIMARY KEY, epsilon REAL, delta REAL)")
        db.execute("PRAGMA user_version = 1")
    assert ledger.balance().spent == 1
    assert ledger.spend(spend()).spent == 2
    assert ledger.path.with_name(HEAD).exists()


WORK = """
import sys
from pathlib import Path
from medfed.core.ledger import Spend
from medfed.core.mechanism import Cost, NoisyAnswer
from medfed.core.vault import OPEN
from medfed.privacy.at_rest.vault import SealedVault
from medfed.storage.ledger import SqliteLedger

class Counting:
    def epsilon(self, answers, delta):
        return float(sum(a.times for a in answers))

    def order(self, epsilon, delta):
        return 2

    def used(self, answers, limit):
        return self.epsilon(answers, 0) / limit.epsilon

home = Path(sys.argv[1])
vault = SealedVault(home, bytes(32)) if sys.argv[2:] == ["sealed"] else OPEN
ledger = SqliteLedger(home / "ledger.sqlite", Counting(), vault)
cost = Cost("patient", (NoisyAnswer("gaussian", 2.0),))
given = (home / "given.txt").open("ab", buffering=0)
print("ready", flush=True)
while True:
    ledger.spend(Spend("d", "t", "r", "o", 1, "train", "s", ("a", "b"), cost))
    given.write(b"x")  # the answer leaves
"""


def killed_at_random(home, kills, seed, *how):
    """Start the same work again and again, and kill it each time; (given away, entered)."""
    rng = random.Random(seed)
    vault = SealedVault(home, bytes(32)) if how else OPEN
    ledger = SqliteLedger(home / "ledger.sqlite", Counting(), vault)
    allow(ledger, 1e9, 1e-5)
    for _ in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", WORK, str(home), *how], stdout=subprocess.PIPE
        ) as child:
            child.stdout.readline()
            before = _given(home)
            while _given(home) == before:  # however busy the machine is, something is given away
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.03))
            os.kill(child.pid, signal.SIGKILL)
        yield _given(home), ledger.balance().spent


def _given(home):
    return (home / "given.txt").stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("how", [(), ("sealed",)])
def test_killed_at_random_it_has_entered_what_was_given_away(how, tmp_path):
    for given, spent in killed_at_random(tmp_path, 30, 1, *how):
        assert given <= spent <= given + 30, "at most one entry a kill was for nothing"
    assert given > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", [(), ("sealed",)])
def test_a_hundred_kills(how, tmp_path):
    for given, spent in killed_at_random(tmp_path, 100, 2, *how):
        assert given <= spent <= given + 100
    assert given > 0


def test_the_kill_test_sees_an_entry_that_comes_too_late(tmp_path, monkeypatch):
    """The defence switched off: paid after the answer left, it is found out."""
    late = WORK.replace("while True:\n", "while True:\n    given.write(b'x')\n", 1)
    late = late.replace('    given.write(b"x")  # the answer leaves\n', "")
    assert late != WORK
    monkeypatch.setattr(sys.modules[__name__], "WORK", late)
    assert any(given > spent for given, spent in killed_at_random(tmp_path, 30, seed=1))
