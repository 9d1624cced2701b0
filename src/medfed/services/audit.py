"""The record of what people did and were refused."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Protocol

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from medfed.storage.database import Database
from medfed.storage.database.tables import AuditRow

LONGEST_REASON = 1000
"""Room for each right that a role may get or lose at once: none goes unsaid."""


class Actor(Protocol):
    """Who did it."""

    @property
    def name(self) -> str:
        """What they log in with."""
        ...

    @property
    def address(self) -> str:
        """Where from."""
        ...


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject: str = "",
    *,
    allowed: bool = True,
    reason: str = "",
) -> None:
    """Add an act to the record, in the transaction that does it."""
    row = AuditRow(
        actor=plain(actor.name, 64) or "nobody",
        action=action,
        subject=plain(subject, 200),
        allowed=allowed,
        reason=plain(reason, LONGEST_REASON),
        address=plain(actor.address, 64),
    )
    session.add(row)


def plain(text: str, length: int) -> str:
    """One line of printable text: nobody may forge further lines of a record or a log."""
    return "".join(c if c.isprintable() else " " for c in text)[:length]


def entries(
    database: Database,
    *,
    words: str = "",
    acts: Sequence[str] = (),
    allowed: bool | None = None,
    days: tuple[date | None, date | None] = (None, None),
    before: int | None = None,
    limit: int = 50,
) -> Sequence[AuditRow]:
    """The latest acts first.

    Args:
        database: The console's.
        words: Only those whose actor, action or subject contains this.
        acts: Those whose action is one of these are found by the words, too.
        allowed: Only what was done, or only what was denied; both if None.
        days: Only those from the one day to the other, in UTC; without a bound where it is None.
        before: Only those with a smaller number, for the next page.
        limit: How many at most.
    """
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditRow.id < before)
    if allowed is not None:
        query = query.where(AuditRow.allowed.is_(allowed))
    since, until = days
    if since is not None:
        query = query.where(AuditRow.at >= datetime.combine(since, time.min, UTC))
    if until is not None:
        query = query.where(AuditRow.at <= datetime.combine(until, time.max, UTC))
    if words:
        columns = (AuditRow.actor, AuditRow.action, AuditRow.subject)
        found = [column.icontains(words, autoescape=True) for column in columns]
        query = query.where(or_(*found, AuditRow.action.in_(acts)))
    with database.read() as session:
        return session.scalars(query).all()
