"""Logging in: the password, the lockout, the session."""

import hashlib
import secrets
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from medfed.core.errors import AccessError
from medfed.services.accounts.identity import Identity
from medfed.services.accounts.passwords import Passwords
from medfed.services.audit import plain, record
from medfed.storage.database import Database
from medfed.storage.database.tables import LockoutRow, SessionRow, UserRow
from medfed.storage.database.types import now

FREE_FAILURES = 5
FIRST_LOCK = timedelta(seconds=30)
LONGEST_LOCK = timedelta(minutes=15)
FORGOTTEN = timedelta(days=1)
IDLE = timedelta(hours=2)
LONGEST_SESSION = timedelta(hours=12)
SEEN_EVERY = timedelta(minutes=1)
RECENTLY = timedelta(minutes=10)
"""How long a password counts for acts that ask for it again."""


class WrongPassword(AccessError):
    """The name or the password is wrong; which of them is not said."""

    def __init__(self) -> None:
        super().__init__("the name or the password is wrong", remedy="Try again")


class Locked(AccessError):
    """Too many wrong passwords for this name, whether or not there is such a user.

    Args:
        seconds: How long to wait.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(
            "too many wrong passwords for this name",
            remedy=f"Wait {seconds} seconds, then try again",
        )
        self.seconds = seconds


def log_in(
    database: Database, passwords: Passwords, name: str, password: str, *, address: str, agent: str
) -> str:
    """Begin a session.

    Returns:
        The session's secret, for the cookie; only its hash is kept.

    Raises:
        Locked: After too many failures.
        WrongPassword: Otherwise.
    """
    name = plain(name.strip().lower(), 64)
    user = check_password(database, passwords, name, password, address=address)
    secret = secrets.token_urlsafe(32)
    with database.write() as session:
        row = SessionRow(
            digest=digest(secret),
            user_id=user.id,
            address=plain(address, 64),
            agent=plain(agent, 200),
        )
        session.add(row)
        person = session.get_one(UserRow, user.id)
        person.last_login = now()
        record(session, Identity(name=name, address=address), "session.begin")
    return secret


def check_password(
    database: Database, passwords: Passwords, name: str, password: str, *, address: str
) -> UserRow:
    """The user, if the password is theirs; counts failures.

    Raises:
        Locked: After too many failures.
        WrongPassword: Otherwise.
    """
    who = Identity(name=name, address=address)
    with database.write() as session:
        _refuse_while_locked(session, name)
        # Counted before the slow check, so that a burst cannot try many while one is looked at.
        _count(session, name)
        user = session.scalar(select(UserRow).where(UserRow.name == name))
    kept = user.password if user and user.active else None
    right = passwords.check(password, kept)
    with database.write() as session:
        if right:
            session.execute(delete(LockoutRow).where(LockoutRow.name == name))
        else:
            record(session, who, "session.begin", allowed=False, reason="wrong name or password")
    if not right or user is None:
        raise WrongPassword
    return user


def identify(database: Database, secret: str, address: str) -> Identity | None:
    """Whose session it is; None where it is unknown, revoked or too old."""
    moment = now()
    with database.read() as session:
        row = session.scalar(select(SessionRow).where(SessionRow.digest == digest(secret)))
        if row is None or not row.user.active or _over(row):
            return None
        who = identity_of(row.user, address)
    if moment - row.seen > SEEN_EVERY:
        with database.write() as session:
            if again := session.get(SessionRow, row.id):
                again.seen = moment
    return replace(who, session=row.id)


def identity_of(user: UserRow, address: str) -> Identity:
    """A user as one who asks."""
    return Identity(
        id=user.id,
        name=user.name,
        full_name=user.full_name or user.name,
        roles=tuple(sorted(role.name for role in user.roles)),
        rights=frozenset(right for role in user.roles for right in role.rights),
        must_change=user.must_change,
        address=address,
    )


def digest(secret: str) -> str:
    """What is kept of a random secret; no salt, since it cannot be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _over(row: SessionRow) -> bool:
    moment = now()
    return moment - row.seen > IDLE or moment - row.created > LONGEST_SESSION


def _refuse_while_locked(session: Session, name: str) -> None:
    moment = now()
    session.execute(delete(LockoutRow).where(LockoutRow.last < moment - FORGOTTEN))
    row = session.get(LockoutRow, name)
    if row and row.until and row.until > moment:
        raise Locked(int((row.until - moment).total_seconds()) + 1)


def _count(session: Session, name: str) -> None:
    row = session.get(LockoutRow, name) or LockoutRow(name=name, failures=0)
    row.failures += 1
    row.last = now()
    if row.failures >= FREE_FAILURES:
        beyond = min(row.failures - FREE_FAILURES, 10)
        row.until = now() + min(FIRST_LOCK * 2**beyond, LONGEST_LOCK)
    session.add(row)
