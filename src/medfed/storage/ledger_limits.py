"""What a ledger allows, and allowed before: a limit is replaced by the next, and none is forgotten.

A limit is a rule and the order of its Rényi filter besides ε and δ. The order is kept with it, and
not worked out again: a filter holds for what was fixed before anything was answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from medfed.core.ledger import Limit

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from medfed.core.mechanism import Unit

EPSILON, DELTA = 10.0, 1e-5
"""The limit of a new ledger, until the hospital sets its own."""
BARE = 2
"""The last form whose limits were ε and δ alone, the sum of losses the only rule."""

TABLE = """
CREATE TABLE limits (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL,
    unit TEXT NOT NULL,
    epsilon REAL NOT NULL,
    delta REAL NOT NULL,
    rule TEXT NOT NULL,
    filter_order INTEGER NOT NULL
);
"""
_COLUMNS = "time, unit, epsilon, delta, rule, filter_order"


@dataclass(frozen=True, slots=True)
class LimitSet:
    """A limit, and when it was set for whom."""

    time: str
    unit: Unit
    limit: Limit


class Limits:
    """The limits of one ledger.

    Args:
        order: The order of the filter of a limit for which none is given.
    """

    def __init__(self, order: Callable[[float, float], int]) -> None:
        self.order = order

    def proven(self, epsilon: float, delta: float) -> Limit:
        """A limit as a new ledger has it: behind a filter."""
        return Limit(epsilon, delta, "proven", self.order(epsilon, delta))

    def of(self, db: sqlite3.Connection | None, unit: str) -> Limit:
        """A record's is the patient's, until it has its own: who allows nothing means both.

        Args:
            db: The ledger, of whatever form; None where nothing was written into it.
            unit: Patient, record or hospital.
        """
        found = [each.limit for each in self.history(db) if each.unit == unit] if db else []
        if not found and unit == "record":
            return self.of(db, "patient")
        return found[-1] if found else self.proven(EPSILON, DELTA)

    def history(self, db: sqlite3.Connection) -> list[LimitSet]:
        """All that were ever set, the last of each unit being the one that counts."""
        if _bare(db):
            bare = db.execute("SELECT unit, epsilon, delta FROM limits").fetchall()
            return [LimitSet("", unit, self.proven(*limit)) for unit, *limit in bare]
        rows = db.execute(f"SELECT {_COLUMNS} FROM limits ORDER BY number").fetchall()  # noqa: S608  # column names of ours
        return [LimitSet(time, unit, Limit(*limit)) for time, unit, *limit in rows]

    def add(self, db: sqlite3.Connection, unit: Unit, limit: Limit) -> None:
        """Set a unit's limit from now on."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        row = (now, unit, limit.epsilon, limit.delta, limit.rule, limit.order)
        db.execute(f"INSERT INTO limits ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", row)  # noqa: S608  # so too

    def begin(self, db: sqlite3.Connection) -> None:
        """Make the table of a new ledger; the first limits are written down with their orders."""
        db.execute(TABLE)
        for unit in ("patient", "hospital"):
            self.add(db, unit, self.proven(EPSILON, DELTA))

    def migrate(self, db: sqlite3.Connection) -> None:
        """Put the limits of a ledger of an older form behind filters, where they are not yet.

        All that such a ledger holds counts against them. One that stands beyond its filter admits
        nothing more until its hospital decides.
        """
        if not _bare(db):
            return
        bare = self.history(db)
        db.execute("DROP TABLE limits")
        self.begin(db)
        for each in bare:
            self.add(db, each.unit, each.limit)


def _bare(db: sqlite3.Connection) -> bool:
    return int(db.execute("PRAGMA user_version").fetchone()[0]) <= BARE
