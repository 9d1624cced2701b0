"""Refusals in the record of acts, bounded, since whoever is refused decides how often they ask.

What is refused alike within a minute is one row with a count: the same act of the same person for
the same reason, or of strangers from the same network. What is different each time is kept apart
only so far; the rest of that minute shares a row. Of many alike only the 1st, 2nd, 4th, 8th … are
written down, so that a flood of requests is no flood of writes: the count says "at least".
"""

import hashlib
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from medfed.services.audit import Actor, plain
from medfed.storage.database import Database
from medfed.storage.database.tables import AuditRow
from medfed.storage.database.types import now

APART = 30
"""Rows of one act, and of one person where they are known, in a minute."""
REMEMBERED = 10_000
"""Counts that a process keeps in memory."""
REST = "further ones, not kept apart"


def refuse(
    database: Database,
    actor: Actor,
    action: str,
    subject: str = "",
    *,
    reason: str,
    network: str = "",
) -> None:
    """Record that somebody was refused something.

    Args:
        database: The console's.
        actor: Who; for a stranger, whoever they said they are if there is such a user.
        action: What they tried.
        subject: Upon what.
        reason: Why not, as a sentence.
        network: Where a stranger comes from, see `medfed.services.accounts.lockout.place_of`:
            strangers are told apart by it alone. Empty for somebody known.
    """
    minute = now().replace(second=0, microsecond=0)
    who = plain(actor.name, 64) or "nobody"
    alike = (action, who, reason, network or plain(subject, 200))
    times = _tally(database).count(minute, alike)
    if not times:
        return
    row: dict[str, Any] = {
        "key": _key(minute, *alike),
        "actor": who,
        "action": action,
        "subject": plain(subject, 200),
        "allowed": False,
        "reason": plain(reason, 500),
        "address": plain(actor.address, 64),
        "times": times,
    }
    with database.write() as session:
        if _counted(session, row["key"], times):
            return
        if _apart(session, minute, action, "" if network else who) >= APART:
            rest = "nobody" if network else who
            row |= {"key": _key(minute, action, rest), "actor": rest, "subject": REST}
            row |= {"address": ""} if network else {}
        _add(session, row)


class _Tally:
    """What one process counted in this minute and wrote down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute: datetime | None = None
        self._counts: dict[tuple[str, ...], int] = {}

    def count(self, minute: datetime, alike: tuple[str, ...]) -> int:
        """One more; how many are to be added to the row now."""
        with self._lock:
            if minute != self._minute or len(self._counts) >= REMEMBERED:
                self._minute, self._counts = minute, {}
            count = self._counts[alike] = self._counts.get(alike, 0) + 1
        return max(1, count // 2) if count & (count - 1) == 0 else 0


_tallies: WeakKeyDictionary[Database, _Tally] = WeakKeyDictionary()


def _tally(database: Database) -> _Tally:
    return _tallies.setdefault(database, _Tally())


def _key(minute: datetime, *alike: str) -> str:
    return hashlib.sha256("\x1f".join((minute.isoformat(), *alike)).encode()).hexdigest()[:32]


def _counted(session: Session, key: str, times: int) -> bool:
    """Add to the count of a row, if there is one."""
    more = update(AuditRow).where(AuditRow.key == key).values(times=AuditRow.times + times)
    return bool(session.execute(more.returning(AuditRow.id)).all())


def _apart(session: Session, minute: datetime, action: str, who: str) -> int:
    """How many rows of an act this minute has; of all people, or of one."""
    alike: list[ColumnElement[bool]] = [
        AuditRow.at >= minute,
        AuditRow.action == action,
        AuditRow.allowed.is_(False),
    ]
    if who:
        alike.append(AuditRow.actor == who)
    return session.scalar(select(func.count(AuditRow.id)).where(*alike)) or 0


def _add(session: Session, row: Mapping[str, Any]) -> None:
    """Add a row, unless there is one: then count in that."""
    on_postgres = session.get_bind().dialect.name == "postgresql"
    added = (postgresql.insert if on_postgres else sqlite.insert)(AuditRow).values(**row)
    more = {"times": AuditRow.times + row["times"]}
    session.execute(added.on_conflict_do_update(index_elements=["key"], set_=more))
