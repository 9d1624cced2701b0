"""A ledger's head covers its limits: none that was set can be forgotten or changed unnoticed."""

import json
import os
import shutil
import signal
import sqlite3
import sys
from dataclasses import replace
from functools import partial

import pytest
from counting import Counting
from limits import allow

from medfed.core.errors import SiteError
from medfed.core.ledger import Spend
from medfed.core.mechanism import Cost, NoisyAnswer
from medfed.core.vault import OPEN
from medfed.privacy.at_rest.vault import SealedVault
from medfed.storage import ledger_head, ledger_rows
from medfed.storage.ledger import LEDGER, SqliteLedger
from medfed.storage.ledger_head import HEAD, REMEDY

WORK = Spend(
    "d", "t", "r", "o", 1, "train", "s", ("a", "b"), Cost("patient", (NoisyAnswer("gaussian", 2),))
)


@pytest.fixture(params=[False, True], ids=["open", "sealed"])
def book(request, tmp_path):
    vault = SealedVault(tmp_path, bytes(32)) if request.param else OPEN
    return SqliteLedger(tmp_path / LEDGER, Counting(), vault)


def again(book):
    return SqliteLedger(book.path, Counting(), book.vault)


def is_not_used(book):
    for work in (lambda: book.spend(WORK), lambda: allow(book, 9, 1e-5), book.balance, book.limit):
        with pytest.raises(SiteError, match="older copy") as no:
            work()
        assert no.value.remedy == REMEDY


def test_a_ledger_that_forgot_its_newest_limit_is_not_used(book):
    book.spend(WORK)
    raised = book.path.read_bytes()
    allow(book, 1.0, 1e-5)  # lowered: nothing more is admitted
    book.path.write_bytes(raised)
    is_not_used(again(book))


def test_without_the_head_it_would_be_used(book, monkeypatch):
    """The defence switched off: nobody sees that the limit is the old one."""

    of_entries = partial(ledger_head.head_of, covers_limits=False)
    monkeypatch.setattr(ledger_head, "head_of", lambda db, **_: of_entries(db))
    book.spend(WORK)
    raised = book.path.read_bytes()
    allow(book, 1.0, 1e-5)
    book.path.write_bytes(raised)
    assert again(book).spend(WORK).limit == 10.0


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE entries SET answers = '[]' WHERE number = 1",
        "UPDATE entries SET unit = 'record'",
        "UPDATE entries SET cohort = (SELECT cohort FROM entries WHERE number = 2)",
        "DELETE FROM entries WHERE number = 1",
        "UPDATE entries SET number = 9 - number",
    ],
)
def test_entries_that_were_changed_are_noticed(tmp_path, harm):
    book = SqliteLedger(tmp_path / LEDGER, Counting())
    book.spend(WORK)
    book.spend(replace(WORK, patients=("c",)))
    with sqlite3.connect(book.path) as db:
        db.execute(harm)
    db.close()
    is_not_used(again(book))


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE limits SET epsilon = 99 WHERE number = 1",
        "UPDATE limits SET rule = 'sum'",
        "DELETE FROM limits WHERE number = 3",
        "UPDATE limits SET number = 9 - number",
    ],
)
def test_limits_that_were_changed_are_noticed(tmp_path, harm):
    book = SqliteLedger(tmp_path / LEDGER, Counting())
    allow(book, 4.0, 1e-5)
    with sqlite3.connect(book.path) as db:
        db.execute(harm)
    db.close()
    is_not_used(again(book))


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM cohorts",
        "DELETE FROM cohorts WHERE rowid = 1",
        "UPDATE cohorts SET member = zeroblob(16) WHERE rowid = 1",
        "UPDATE cohorts SET cohort = cohort || '0'",
        "INSERT INTO cohorts SELECT cohort, zeroblob(16) FROM cohorts LIMIT 1",
    ],
)
def test_patients_who_were_taken_out_of_a_cohort_or_put_in_are_noticed(tmp_path, harm):
    book = SqliteLedger(tmp_path / LEDGER, Counting())
    book.spend(WORK)
    with sqlite3.connect(book.path) as db:
        db.execute(harm)
    db.close()
    for work in (lambda: book.spend(WORK), book.balance, book.standings, book.crowd):
        with pytest.raises(SiteError, match="who was in some of the work") as no:
            work()
        assert no.value.remedy == REMEDY


PAGE = 4096
"""SQLCipher's."""


def with_a_page_put_back(home):
    """Balances of an encrypted ledger into which one page of an older copy was put, without its
    key; those that could be had at all."""
    book = SqliteLedger(home / LEDGER, Counting(), SealedVault(home, bytes(32)))
    book.spend(WORK)
    old = book.path.read_bytes()
    book.spend(replace(WORK, patients=tuple(f"p{i}" for i in range(600))))
    book.spend(WORK)
    new = book.path.read_bytes()
    pages = [at for at in range(0, len(old), PAGE) if old[at : at + PAGE] != new[at : at + PAGE]]
    assert len(pages) > 1
    for at in pages:
        book.path.write_bytes(new[:at] + old[at : at + PAGE] + new[at + PAGE :])
        try:
            yield [each.members for each in again(book).standings()]
        except SiteError:
            continue


def test_a_page_of_an_older_copy_in_an_encrypted_ledger_is_noticed(tmp_path):
    assert all(found == [2, 600] for found in with_a_page_put_back(tmp_path))


def test_without_the_cohorts_names_it_would_be_used(tmp_path, monkeypatch):
    """The defence switched off: patients are forgotten, and what they spent with them."""

    def as_it_is(db, cohort):
        rows = db.execute("SELECT member FROM cohorts WHERE cohort = ?", (cohort,))
        return [row[0] for row in rows]

    monkeypatch.setattr(ledger_rows, "_members", as_it_is)
    assert any(sum(found) < 602 for found in with_a_page_put_back(tmp_path))


def older(book, version):
    """Bring a ledger and its head back to how a medfed of before kept them."""
    head = book.path.with_name(HEAD)
    with sqlite3.connect(book.path) as db:
        if version < 3:
            rows = db.execute("SELECT unit, epsilon, delta FROM limits ORDER BY number").fetchall()
            db.execute("DROP TABLE limits")
            db.execute("CREATE TABLE limits (unit TEXT PRIMARY KEY, epsilon REAL, delta REAL)")
            db.executemany("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", rows)
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    found = json.loads(head.read_bytes())
    head.write_text(json.dumps({name: found[name] for name in ("entries", "sha256")}))
    if version == 1:
        head.unlink()


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("write", [lambda b: b.spend(WORK), lambda b: allow(b, 4.0, 1e-5)])
def test_a_ledger_of_an_older_form_is_covered_from_its_next_write_on(tmp_path, version, write):
    book = SqliteLedger(tmp_path / LEDGER, Counting())
    allow(book, 5.0, 1e-5)
    book.spend(WORK)
    older(book, version)
    kept = {file: file.read_bytes() for file in tmp_path.iterdir()}
    head = book.path.with_name(HEAD)
    assert (again(book).limit().epsilon, again(book).balance().spent) == (5.0, 1.0), "it opens"
    write(again(book))
    newest = book.path.read_bytes()
    book.path.write_bytes(kept[book.path])
    is_not_used(again(book))
    if version > 1:
        book.path.write_bytes(newest)
        head.write_bytes(kept[head])
        is_not_used(again(book))


WRITES = {
    "writing", "keep_head", "keep", "write", "write_atomic", "sync",
    "_make", "_make_tables", "_prepare", "migrate", "begin", "add",
}  # fmt: skip
"""Functions with lines that leave something on the disk, or come between two that do."""


def killed_at(line, act):
    """Do it in a process that kills itself before that line of those; whether it did."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if frame.f_code.co_name in WRITES and event == "line":
            count += 1
            if count == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    try:
        act()
    finally:
        os._exit(0)


def kills(act, home, before):
    """Let it be killed at each of its lines, one after another, always from the same start."""
    line, killed = 0, True
    while killed:
        line += 1
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(before, home)
        killed = killed_at(line, act)
        yield killed
    assert line > 20, "it was killed at all"


def opened(home, sealed=False):
    return SqliteLedger(home / LEDGER, Counting(), SealedVault(home, bytes(32)) if sealed else OPEN)


def begun(home, start, sealed):
    """A ledger to start from: none, one of today, or one of an older form."""
    home.mkdir()
    if start == "new":
        return 10.0, 0.0
    book = opened(home, sealed)
    allow(book, 5.0, 1e-5)
    book.spend(WORK)
    if start != "used":
        older(book, start)
    return 5.0, 1.0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("start", "sealed"),
    [("new", False), ("used", False), ("used", True), (1, False), (2, False), (3, False)],
)
def test_a_limit_is_set_or_not_wherever_it_is_killed(tmp_path, start, sealed):
    home = tmp_path / "home"
    old, spent = begun(tmp_path / "before", start, sealed)
    seen = set()
    for killed in kills(lambda: allow(opened(home, sealed), 3.0, 1e-5), home, tmp_path / "before"):
        book = opened(home, sealed)
        found = book.limit().epsilon
        assert book.balance().spent == spent
        seen.add((killed, found))
        assert book.spend(WORK).spent == spent + 1, "it goes on"
    assert seen == {(True, old), (True, 3.0), (False, 3.0)}, "the old one or the new one"
