"""What a ledger's rows say: who is in which cohort, and what each of them went through.

Patients are kept as digests under a key that lies in the file; a cohort is a set of them, written
once and called after them. Its name stands in entries, which the ledger's head covers: so who is in
it is covered too, for a cohort is never read but its name is worked out again. Patients of one
source are the same people where their identifiers are. Those of two sources may be, so what was
spent on any other source counts for everybody.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from medfed.core.errors import SiteError
from medfed.core.mechanism import NoisyAnswer, merge
from medfed.storage.ledger_head import REMEDY

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from medfed.core.ledger import Spend
    from medfed.core.mechanism import Unit

HOSPITAL = "the hospital"
"""The cohort, and the only member, where the unit is the hospital itself."""


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
class Past:
    """What those of one source went through who were in the same cohorts."""

    source: str
    cohorts: frozenset[str]
    members: int
    answers: list[NoisyAnswer]


def members_of(db: sqlite3.Connection, spend: Spend) -> list[bytes]:
    """The cohort's patients as keyed digests, sorted."""
    if spend.cost.unit == "hospital":
        return [HOSPITAL.encode()]
    key = db.execute("SELECT key FROM secret").fetchone()[0]
    texts = (f"{spend.source}\x1f{patient}".encode() for patient in set(spend.patients))
    return sorted(hmac.digest(key, text, "sha256")[:16] for text in texts)


def cohort_of(members: Sequence[bytes]) -> str:
    """What a cohort is called: the digest of who is in it."""
    return hashlib.sha256(b"".join(members)).hexdigest()[:32]


def keep_cohort(db: sqlite3.Connection, cohort: str, members: Sequence[bytes]) -> None:
    """Write down who is in a cohort, once."""
    if not db.execute("SELECT 1 FROM cohorts WHERE cohort = ? LIMIT 1", (cohort,)).fetchone():
        db.executemany("INSERT INTO cohorts VALUES (?, ?)", [(cohort, m) for m in members])


def histories(
    db: sqlite3.Connection,
    unit: str,
    source: str,
    members: Sequence[bytes],
    study: str | None = None,
) -> list[list[NoisyAnswer]]:
    """The pasts of the cohort's patients: one for each set of cohorts that some of them were in."""
    by_cohort, elsewhere = spent_of(db, unit, source, study=study)
    groups = _groups(db, by_cohort)
    pasts = {frozenset(groups.get(member, ())) for member in members} or {frozenset()}
    return [[*elsewhere, *(a for c in sorted(past) for a in by_cohort[c])] for past in pasts]


def _groups(db: sqlite3.Connection, cohorts: Iterable[str]) -> dict[bytes, set[str]]:
    """In which of some cohorts each of their members is."""
    found: dict[bytes, set[str]] = defaultdict(set)
    for cohort in cohorts:
        for member in _members(db, cohort):
            found[member].add(cohort)
    return found


def _members(db: sqlite3.Connection, cohort: str) -> list[bytes]:
    """Who is in a cohort.

    Raises:
        SiteError: Others than those after whom it is called.
    """
    rows = db.execute("SELECT CAST(member AS BLOB) FROM cohorts WHERE cohort = ?", (cohort,))
    found = sorted(row[0] for row in rows)
    if cohort_of(found) != cohort:
        message = "the ledger was changed: it no longer holds who was in some of the work"
        raise SiteError(message, remedy=REMEDY)
    return found


def spent_of(
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
    rows = db.execute(f"SELECT {wanted} FROM entries WHERE unit = ?", (unit,))  # noqa: S608  # column names of ours
    for its_source, cohort, its_run, its_study, text in rows:
        if run not in (None, its_run) or study not in (None, its_study):
            continue
        place = own.setdefault(cohort, []) if its_source == source else elsewhere
        place += _answers(text)
    return {cohort: list(merge(a)) for cohort, a in own.items()}, list(merge(elsewhere))


def pasts(
    db: sqlite3.Connection, unit: str, run: str | None = None, study: str | None = None
) -> Iterator[Past]:
    """The pasts of everybody who is in some entry."""
    sources = db.execute("SELECT DISTINCT source FROM entries WHERE unit = ?", (unit,))
    for (source,) in sources.fetchall():
        by_cohort, elsewhere = spent_of(db, unit, source, run, study)
        groups = _groups(db, by_cohort)
        for group, members in Counter(map(frozenset, groups.values())).items():
            answers = [*elsewhere, *(a for c in sorted(group) for a in by_cohort[c])]
            yield Past(source, group, members, answers)


def crowd(db: sqlite3.Connection, unit: str, source: str | None) -> int:
    """How many the largest cohort holds."""
    wanted = "SELECT DISTINCT cohort FROM entries WHERE unit = ?1 AND source = IFNULL(?2, source)"
    cohorts = db.execute(wanted, (unit, source)).fetchall()
    return max((len(_members(db, cohort)) for (cohort,) in cohorts), default=0)


def runs_of(db: sqlite3.Connection, unit: str) -> dict[str, set[str]]:
    """The runs that each cohort was in."""
    found: dict[str, set[str]] = {}
    rows = db.execute("SELECT DISTINCT cohort, run FROM entries WHERE unit = ?", (unit,))
    for cohort, run in rows:
        found.setdefault(cohort, set()).add(run)
    return found


def enter(db: sqlite3.Connection, spend: Spend, cohort: str) -> None:
    """Add an entry."""
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


def entries(db: sqlite3.Connection) -> list[Entry]:
    """All entries, in the order they were made."""
    wanted = "time, study, title, run, run_order, round, purpose, unit, answers"
    found = db.execute(f"SELECT {wanted} FROM entries ORDER BY number").fetchall()  # noqa: S608  # so too
    return [_entry(*row) for row in found]


def _answers(text: str) -> tuple[NoisyAnswer, ...]:
    given: list[dict[str, Any]] = json.loads(text)
    return tuple(NoisyAnswer(**one) for one in given)


def _entry(time: str, study: str, title: str, run: str, *rest: Any) -> Entry:
    order, round_, purpose, unit, text = rest
    return Entry(time, study, title, run, order, round_, purpose, unit, _answers(text))
