"""Wrong passwords, counted where nobody can spend another's attempts.

A stranger's count is kept for the name and the network they come from, so that guessing elsewhere
does not lock the owner out. All networks together only slow a name down. Whoever has a session is
counted by it. Rows are counted up in one statement before the password is looked at: a burst cannot
try many while one is checked, on any database.
"""

import ipaddress
from datetime import timedelta

from sqlalchemy import ColumnElement, case, delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from medfed.core.errors import AccessError
from medfed.storage.database.tables import LockoutRow
from medfed.storage.database.types import now

FIRST_LOCK = timedelta(seconds=30)
LONGEST_LOCK = timedelta(minutes=15)
FORGOTTEN = timedelta(days=1)
CEILING = 100
"""Wrong passwords for a name, wherever from, after which each further one is slowed down."""
SLOW_SECONDS = 1.0
EVERYWHERE = ""


class Locked(AccessError):
    """Too many wrong passwords for this name from here, whether or not there is such a user."""

    def __init__(self) -> None:
        # Not the exact moment: whoever guesses would come back at the second.
        super().__init__(
            "too many wrong passwords for this name",
            remedy="Wait up to 15 minutes, then try again",
        )


def place_of(address: str, session: int = 0) -> str:
    """Where attempts are counted: a session, or an IPv4 address, or an IPv6 network."""
    if session:
        return f"session {session}"
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found), 64), strict=False))
    return str(found)


def spend(session: Session, name: str, place: str, free: int) -> float:
    """Count an attempt as a failure until it is `given_back`.

    Args:
        session: A transaction of the console's database.
        name: The name that was given.
        place: Where from, see `place_of`.
        free: Failures before a lock closes.

    Returns:
        Seconds to wait before the password is looked at.

    Raises:
        Locked: There were too many; then this one is not counted.
    """
    failures, locked = _count(session, name, place)
    if locked:
        raise Locked
    if failures >= free:
        until = now() + min(FIRST_LOCK * 2 ** min(failures - free, 10), LONGEST_LOCK)
        session.execute(update(LockoutRow).where(*_at(name, place)).values(until=until))
    if place.startswith("session "):
        return 0.0
    everywhere, _ = _count(session, name, EVERYWHERE)
    return SLOW_SECONDS if everywhere > CEILING else 0.0


def give_back(session: Session, name: str, place: str) -> None:
    """The password was right."""
    session.execute(delete(LockoutRow).where(*_at(name, place)))
    less = {"failures": LockoutRow.failures - 1}
    everywhere = (*_at(name, EVERYWHERE), LockoutRow.failures > 0)
    if not place.startswith("session "):
        session.execute(update(LockoutRow).where(*everywhere).values(less))


def forget(session: Session) -> None:
    """Drop what is too old to count."""
    session.execute(delete(LockoutRow).where(LockoutRow.last < now() - FORGOTTEN))


def _at(name: str, place: str) -> tuple[ColumnElement[bool], ...]:
    return LockoutRow.name == name, LockoutRow.place == place


def _count(session: Session, name: str, place: str) -> tuple[int, bool]:
    """Add one; how many there are, and whether a lock is still closed."""
    moment = now()
    on_postgres = session.get_bind().dialect.name == "postgresql"
    insert = (postgresql.insert if on_postgres else sqlite.insert)(LockoutRow)
    old = LockoutRow.last < moment - FORGOTTEN
    counted = insert.values(name=name, place=place, failures=1, last=moment).on_conflict_do_update(
        index_elements=[LockoutRow.name, LockoutRow.place],
        set_={"failures": case((old, 1), else_=LockoutRow.failures + 1), "last": moment},
    )
    row = session.execute(counted.returning(LockoutRow.failures, LockoutRow.until)).one()
    return row.failures, row.until is not None and row.until > moment
