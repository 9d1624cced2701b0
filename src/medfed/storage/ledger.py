"""A site's ledger: what each of its patients' privacy was spent on, in one SQLite file.

Entries hold the noisy answers themselves and not their ε, so that an accountant composes them all
exactly. An entry is durable before the work that it pays for begins: a site that is killed at any
point has entered at least what it gave away. Nothing is ever taken out.

Patients are kept as digests under a key that lies in the file; a cohort is a set of them, written
once. Patients of one source are the same people where their identifiers are. Those of two sources
may be, so what was spent on any other source counts for everybody.

In an encrypted folder the whole file is encrypted, and so is SQLite's log beside it. A head beside
it says how far it had come: a ledger that holds less is not used; see `medfed.storage.ledger_head`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from medfed.core.errors import Refused, SiteError
from medfed.core.files import sync
from medfed.core.ledger import Balance
from medfed.core.mechanism import NoisyAnswer, covered, merge
from medfed.core.vault import OPEN
from medfed.storage import ledger_head as heads

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from medfed.core.ledger import Accountant, Spend
    from medfed.core.mechanism import Unit
    from medfed.core.vault import Vault

LEDGER = "ledger.sqlite"
SCHEMA = 2
HEADLESS = 1
"""The form before ledgers had heads: one is made when it is next written."""
BUSY_SECONDS = 30.0
EPSILON, DELTA = 10.0, 1e-5
"""The limit of a new ledger, until the hospital sets its own."""
HOSPITAL = "the hospital"
"""The cohort, and the only member, where the unit is the hospital itself."""

TABLES = """
CREATE TABLE limits (unit TEXT PRIMARY KEY, epsilon REAL NOT NULL, delta REAL NOT NULL);
CREATE TABLE secret (key BLOB NOT NULL);
CREATE TABLE cohorts (cohort TEXT NOT NULL, member BLOB NOT NULL, PRIMARY KEY (cohort, member));
CREATE INDEX cohorts_by_member ON cohorts (member);
CREATE TABLE entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL,
    study TEXT NOT NULL,
    title TEXT NOT NULL,
    run TEXT NOT NULL,
    run_order TEXT NOT NULL,
    round INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    unit TEXT NOT NULL,
    source TEXT NOT NULL,
    cohort TEXT NOT NULL,
    answers TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, as it is shown."""

    time: str
    study: str
    title: str
    run: str
    order: str
    round: int
    purpose: str
    unit: Unit
    answers: tuple[NoisyAnswer, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where those stand who went through the same work.

    Attributes:
        source: What makes their identifiers comparable; see `medfed.core.ledger.Spend`.
        members: How many they are.
        runs: The runs that they were in.
        spent: ε that each has spent, at the ledger's δ.
    """

    source: str
    members: int
    runs: tuple[str, ...]
    spent: float


@dataclass(frozen=True, slots=True)
class _Past:
    """What those of one source went through who were in the same cohorts."""

    source: str
    cohorts: frozenset[str]
    members: int
    answers: list[NoisyAnswer]


class SqliteLedger:
    """`medfed.core.ledger.Ledger` in one file.

    Args:
        path: The file; made when something is first written.
        accountant: What adds entries up.
        vault: How it lies on the disk.
    """

    def __init__(self, path: Path, accountant: Accountant, vault: Vault = OPEN) -> None:
        self.path = path
        self.accountant = accountant
        self.vault = vault

    def spend(self, spend: Spend) -> Balance:
        """Enter a piece of work; when this returns it is on the disk.

        Raises:
            Refused: ``budget-spent``: some patient would pass the limit, or what the study was
                approved for. Nothing was entered. By how much is said inside only: it follows from
                other studies, and from who is in which.
        """
        with self._writing() as db:
            unit = spend.cost.unit
            limit, delta = _limit(db, unit)
            members = _members(db, spend)
            if unit != "hospital" and len(members) * delta >= 1:
                figures = f"the limit's δ of {delta:g} is too large for {len(members)} patients"
                raise Refused("budget-spent", inside=figures)
            cohort = _cohort(members)
            spent = max(
                self.accountant.epsilon(merge([*past, *spend.cost.answers]), delta)
                for past in _histories(db, unit, spend.source, members)
            )
            if spent > limit:
                figures = f"with it a {unit} would have spent ε = {spent:.3g} of {limit:.3g}"
                raise Refused("budget-spent", inside=figures)
            self._hold_to_approval(db, spend, members)
            _keep_cohort(db, cohort, members)
            _enter(db, spend, cohort)
            return Balance(spent, limit, delta)

    def _hold_to_approval(
        self, db: sqlite3.Connection, spend: Spend, members: Sequence[bytes]
    ) -> None:
        """Whatever is ordered, under however many runs, a study costs what it was approved for."""
        pasts = _histories(db, spend.cost.unit, spend.source, members, spend.study)
        totals = [merge([*past, *spend.cost.answers]) for past in pasts]
        beyond = [total for total in totals if not covered(total, spend.approved)]
        if not spend.approved or not beyond:
            return
        allowed = self.accountant.epsilon(merge(spend.approved), spend.delta)
        spent = max(self.accountant.epsilon(total, spend.delta) for total in beyond)
        if spent > allowed:
            figures = (
                f"with it the study would have cost a {spend.cost.unit} ε = {spent:.3g} in all its "
                f"runs; with the rounds that may be done anew (privacy_repeats) it may cost "
                f"{allowed:.3g}"
            )
            raise Refused("budget-spent", inside=figures)

    def balance(
        self,
        unit: Unit = "patient",
        run: str | None = None,
        delta: float | None = None,
        study: str | None = None,
    ) -> Balance:
        """Where the unit stands that has spent most.

        Args:
            unit: Patient, record or hospital.
            run: What one run spent alone; all entries when None.
            delta: At which δ; the ledger's own when None.
            study: What one study spent alone, by its digest; all entries when None.
        """
        with self._reading() as db:
            if db is None:
                return Balance(0.0, EPSILON, delta or DELTA)
            limit, usual = _limit(db, unit)
            delta = delta or usual
            pasts = _pasts(db, unit, run, study)
            spent = max((self.accountant.epsilon(p.answers, delta) for p in pasts), default=0.0)
            return Balance(spent, limit, delta)

    def after(self, answers: Sequence[NoisyAnswer], source: str, unit: Unit = "patient") -> Balance:
        """Where the unit would stand that has spent most, had it been in more answers.

        Args:
            answers: Those; they are not entered.
            source: Of those in them; some may be new to it, who may be anybody elsewhere.
            unit: Patient, record or hospital.
        """
        with self._reading() as db:
            limit, delta = _limit(db, unit) if db else (EPSILON, DELTA)
            pasts = [past.answers for past in _pasts(db, unit)] if db else []
            pasts.append(_spent(db, unit, source)[1] if db else [])
        totals = [merge([*past, *answers]) for past in pasts]
        return Balance(max(self.accountant.epsilon(t, delta) for t in totals), limit, delta)

    def standings(self, unit: Unit = "patient") -> list[Standing]:
        """All who spent anything, those of the same past together, whoever spent most first."""
        with self._reading() as db:
            if db is None:
                return []
            delta, runs = _limit(db, unit)[1], _runs_of(db, unit)
            found = [
                Standing(
                    past.source,
                    past.members,
                    tuple(sorted({run for cohort in past.cohorts for run in runs[cohort]})),
                    self.accountant.epsilon(merge(past.answers), delta),
                )
                for past in _pasts(db, unit)
            ]
        return sorted(found, key=lambda each: -each.spent)

    def crowd(self, unit: Unit = "patient", source: str | None = None) -> int:
        """The most who were in one piece of work, of one source or of any; 0 for the hospital."""
        with self._reading() as db:
            return _crowd(db, unit, source) if db and unit != "hospital" else 0

    def check_delta(self, delta: float, unit: Unit = "patient") -> None:
        """Complain about a δ with which work that was done so far would be refused.

        Raises:
            SiteError: It is too large for so many patients.
        """
        crowd = self.crowd(unit)
        if crowd * delta >= 1:
            message = f"δ of {delta:g} is too large for the {crowd} patients that studies had here"
            raise SiteError(message, remedy=f"Give less than one by their number, {1 / crowd:.3g}")

    def set_limit(self, epsilon: float, delta: float, unit: Unit = "patient") -> None:
        """Say how much each patient (or record, or the hospital) may spend in all."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", (unit, epsilon, delta))

    def entries(self) -> list[Entry]:
        """All entries, in the order they were made."""
        wanted = "time, study, title, run, run_order, round, purpose, unit, answers"
        with self._reading() as db:
            if db is None:
                return []
            rows = db.execute(f"SELECT {wanted} FROM entries ORDER BY number").fetchall()  # noqa: S608  # column names of ours
        return [_entry(*row) for row in rows]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction with no other beside it, durable when it is left without an error."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                self._checked(db, heads.kept(self.path, self.vault))
                self._prepare(db)
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
            self._keep_head(db)

    def _keep_head(self, db: sqlite3.Connection) -> None:
        """Write the head, with the ledger held: two writers must not bring an older one back."""
        db.execute("BEGIN IMMEDIATE")
        try:
            heads.keep(self.path, self.vault, heads.head_of(db))
        finally:
            db.execute("ROLLBACK")

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = _check_schema(db)
        if version == SCHEMA:
            return
        if version == HEADLESS:
            heads.keep(self.path, self.vault, heads.head_of(db))
        else:
            heads.keep(self.path, self.vault, heads.Head())
            _make_tables(db)
        db.execute(f"PRAGMA user_version = {SCHEMA}")

    def _checked(self, db: sqlite3.Connection, head: heads.Head | None) -> bool:
        """Whether the ledger has tables; and it holds what it must."""
        version = _check_schema(db)
        if version == SCHEMA:
            heads.check_missing(self.path, head or heads.kept(self.path, self.vault))
        heads.check(self.path, db if version else None, head)
        return bool(version)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """One state of the ledger; None before anything was written into it."""
        head = heads.kept(self.path, self.vault)  # first: the ledger may grow, and the head too
        if not self.path.exists():
            heads.check(self.path, None, head)
            yield None
            return
        with self._open() as db:
            db.execute("BEGIN")
            # A site killed at its very first entry leaves a file without tables.
            yield db if self._checked(db, head) else None
            db.execute("ROLLBACK")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                heads.check(self.path, None, heads.kept(self.path, self.vault))
                _make(self.path)
            with closing(self.vault.connect(self.path, BUSY_SECONDS)) as db:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                yield db
        except (OSError, self.vault.sqlite.Error) as error:
            remedy = "Nothing is answered without it: mend the disk, or bring the file back"
            message = f"the ledger {self.path} cannot be used: {error}"
            raise SiteError(message, remedy=remedy) from None


def _make(path: Path) -> None:
    """An empty file for its owner only, whose name is durable too."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    sync(path.parent)


def _make_tables(db: sqlite3.Connection) -> None:
    for statement in TABLES.split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute("INSERT INTO secret VALUES (?)", (secrets.token_bytes(32),))


def _check_schema(db: sqlite3.Connection) -> int:
    found = int(db.execute("PRAGMA user_version").fetchone()[0])
    if found not in (0, HEADLESS, SCHEMA):
        message = f"the ledger has form {found} and this medfed knows {SCHEMA}"
        raise SiteError(message, remedy="Use the newer medfed that wrote it")
    return found


def _limit(db: sqlite3.Connection, unit: str) -> tuple[float, float]:
    """A record's is the patient's, until it has its own: who allows nothing means both."""
    wanted = "SELECT epsilon, delta FROM limits WHERE unit = ?"
    row = db.execute(wanted, (unit,)).fetchone()
    if row is None and unit == "record":
        return _limit(db, "patient")
    return (float(row[0]), float(row[1])) if row else (EPSILON, DELTA)


def _members(db: sqlite3.Connection, spend: Spend) -> list[bytes]:
    """The cohort's patients as keyed digests, sorted."""
    if spend.cost.unit == "hospital":
        return [HOSPITAL.encode()]
    key = db.execute("SELECT key FROM secret").fetchone()[0]
    texts = (f"{spend.source}\x1f{patient}".encode() for patient in set(spend.patients))
    return sorted(hmac.digest(key, text, "sha256")[:16] for text in texts)


def _cohort(members: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(members)).hexdigest()[:32]


def _keep_cohort(db: sqlite3.Connection, cohort: str, members: Sequence[bytes]) -> None:
    if not db.execute("SELECT 1 FROM cohorts WHERE cohort = ? LIMIT 1", (cohort,)).fetchone():
        db.executemany("INSERT INTO cohorts VALUES (?, ?)", [(cohort, m) for m in members])


def _histories(
    db: sqlite3.Connection,
    unit: str,
    source: str,
    members: Sequence[bytes],
    study: str | None = None,
) -> list[list[NoisyAnswer]]:
    """The pasts of the cohort's patients: one for each set of cohorts that some of them were in."""
    by_cohort, elsewhere = _spent(db, unit, source, study=study)
    groups = {frozenset(_cohorts_of(db, member)) for member in members}
    pasts = {frozenset(group & by_cohort.keys()) for group in groups} or {frozenset()}
    return [[*elsewhere, *(a for c in sorted(past) for a in by_cohort[c])] for past in pasts]


def _cohorts_of(db: sqlite3.Connection, member: bytes) -> list[str]:
    return [r[0] for r in db.execute("SELECT cohort FROM cohorts WHERE member = ?", (member,))]


def _spent(
    db: sqlite3.Connection,
    unit: str,
    source: str,
    run: str | None = None,
    study: str | None = None,
) -> tuple[dict[str, list[NoisyAnswer]], list[NoisyAnswer]]:
    """What each cohort of a source has spent, and what was spent on other sources."""
    own: dict[str, list[NoisyAnswer]] = {}
    elsewhere: list[NoisyAnswer] = []
    wanted = "source, cohort, run, study, answers"
    rows = db.execute(f"SELECT {wanted} FROM entries WHERE unit = ?", (unit,))  # noqa: S608  # so too
    for its_source, cohort, its_run, its_study, text in rows:
        if run not in (None, its_run) or study not in (None, its_study):
            continue
        place = own.setdefault(cohort, []) if its_source == source else elsewhere
        place += _answers(text)
    return {cohort: list(merge(a)) for cohort, a in own.items()}, list(merge(elsewhere))


def _pasts(
    db: sqlite3.Connection, unit: str, run: str | None = None, study: str | None = None
) -> Iterator[_Past]:
    """The pasts of everybody who is in some entry."""
    sources = db.execute("SELECT DISTINCT source FROM entries WHERE unit = ?", (unit,))
    for (source,) in sources.fetchall():
        by_cohort, elsewhere = _spent(db, unit, source, run, study)
        groups: dict[bytes, set[str]] = {}
        for cohort, member in db.execute("SELECT cohort, member FROM cohorts"):
            if cohort in by_cohort:
                groups.setdefault(member, set()).add(cohort)
        for group, members in Counter(map(frozenset, groups.values())).items():
            answers = [*elsewhere, *(a for c in sorted(group) for a in by_cohort[c])]
            yield _Past(source, group, members, answers)


def _crowd(db: sqlite3.Connection, unit: str, source: str | None) -> int:
    """How many the largest cohort holds."""
    wanted = "SELECT DISTINCT cohort FROM entries WHERE unit = ?1 AND source = IFNULL(?2, source)"
    counts = f"SELECT COUNT(*) AS many FROM cohorts WHERE cohort IN ({wanted}) GROUP BY cohort"  # noqa: S608  # so too
    row = db.execute(f"SELECT MAX(many) FROM ({counts})", (unit, source)).fetchone()  # noqa: S608  # so too
    return int(row[0] or 0)


def _runs_of(db: sqlite3.Connection, unit: str) -> dict[str, set[str]]:
    """The runs that each cohort was in."""
    found: dict[str, set[str]] = {}
    rows = db.execute("SELECT DISTINCT cohort, run FROM entries WHERE unit = ?", (unit,))
    for cohort, run in rows:
        found.setdefault(cohort, set()).add(run)
    return found


def _enter(db: sqlite3.Connection, spend: Spend, cohort: str) -> None:
    answers = json.dumps([asdict(a) for a in spend.cost.answers])
    row = (
        datetime.now(UTC).isoformat(timespec="seconds"),
        spend.study,
        spend.title,
        spend.run,
        spend.order,
        spend.round,
        spend.purpose,
        spend.cost.unit,
        spend.source,
        cohort,
        answers,
    )
    columns = "time, study, title, run, run_order, round, purpose, unit, source, cohort, answers"
    db.execute(f"INSERT INTO entries ({columns}) VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608  # so too


def _answers(text: str) -> tuple[NoisyAnswer, ...]:
    given: list[dict[str, Any]] = json.loads(text)
    return tuple(NoisyAnswer(**one) for one in given)


def _entry(time: str, study: str, title: str, run: str, *rest: Any) -> Entry:
    order, round_, purpose, unit, text = rest
    return Entry(time, study, title, run, order, round_, purpose, unit, _answers(text))
