"""Logging in: the password and the session."""

import hashlib
import secrets
import time
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from medfed.core.errors import AccessError
from medfed.services.accounts import lockout
from medfed.services.accounts.identity import Identity, Subject
from medfed.services.accounts.passwords import Passwords
from medfed.services.accounts.rights import require, require_person
from medfed.services.audit import plain, record
from medfed.services.preferences import Preferences, preferences
from medfed.services.refusals import refuse
from medfed.storage.database import Database
from medfed.storage.database.tables import SessionRow, UserRow
from medfed.storage.database.types import now

SEEN_EVERY = timedelta(minutes=1)
RECENTLY = timedelta(minutes=10)
"""How long a password counts for acts that ask for it again."""


class WrongPassword(AccessError):
    """The name or the password is wrong; which of them is not said."""

    def __init__(self) -> None:
        super().__init__("the name or the password is wrong", remedy="Try again")


class Unconfirmed(AccessError):
    """The password must be given again first."""

    def __init__(self) -> None:
        super().__init__(
            "the password was not given lately", remedy="Give your password again, then try again"
        )


def log_in(
    database: Database, passwords: Passwords, name: str, password: str, *, address: str, agent: str
) -> str:
    """Begin a session.

    Returns:
        The session's secret, for the cookie; only its hash is kept.

    Raises:
        Locked: After too many failures, see `medfed.services.accounts.lockout`.
        WrongPassword: Otherwise.
    """
    name = plain(name.strip().lower(), 64)
    user = check_password(database, passwords, name, password, address=address)
    with database.write() as session:
        secret = begin_session(session, user, preferences(database), address, agent)
        person = session.get_one(UserRow, user.id)
        person.last_login = now()
        record(session, Identity(name=name, address=address), "session.begin")
    return secret


def begin_session(
    session: Session,
    user: UserRow,
    limits: Preferences,
    address: str,
    agent: str,
    shown: datetime | None = None,
) -> str:
    """Begin a session for somebody who showed, now or at ``shown``, who they are; its secret."""
    secret = secrets.token_urlsafe(32)
    row = SessionRow(
        digest=digest(secret),
        user_id=user.id,
        confirmed=shown or now(),
        address=plain(address, 64),
        agent=plain(agent, 200),
    )
    session.add(row)
    _clean_up(session, limits)
    return secret


def check_password(
    database: Database,
    passwords: Passwords,
    name: str,
    password: str,
    *,
    address: str,
    session: int = 0,
) -> UserRow:
    """The user, if the password is theirs; counts failures.

    Args:
        database: The console's.
        passwords: How passwords are checked.
        name: Whose.
        password: What was given.
        address: Where from.
        session: The session that asks, whose failures are counted apart; 0 for a stranger.

    Raises:
        Locked: After too many failures.
        WrongPassword: Otherwise.
    """
    place = lockout.place_of(address, session)
    with database.read() as work:
        user = work.scalar(select(UserRow).where(UserRow.name == name))
    # A name that is nobody's is not kept: people type their password there by mistake.
    who = Identity(name=name if user else "", address=address)
    network = "" if session else place
    try:
        with database.write() as work:
            pause = lockout.spend(work, name, place, preferences(database).free_failures)
    except lockout.Locked as locked:
        refuse(database, who, "session.begin", reason=locked.message, network=network)
        raise
    time.sleep(pause)
    kept = (user.password or None) if user and user.active else None
    if not passwords.check(password, kept) or user is None:
        why = "wrong name or password"
        refuse(database, who, "session.begin", reason=why, network=network)
        raise WrongPassword
    with database.write() as work:
        lockout.give_back(work, name, place)
    return user


def confirmed(database: Database, by: Identity) -> bool:
    """Whether the person of a session gave their password lately."""
    with database.read() as session:
        row = session.get(SessionRow, by.session)
    return row is not None and now() - row.confirmed < RECENTLY


def require_confirmed(
    database: Database,
    by: Identity,
    action: str,
    subject: Subject,
    program: tuple[str, str] | None = None,
) -> None:
    """Let those pass who may, a browser only where its person gave the password lately.

    Args:
        database: The console's.
        by: Who asks.
        action: What they want to do.
        subject: Upon what.
        program: Why no program may, and what to do then; None where one with the right may.

    Raises:
        AccessError: They may not, or it is a program.
        Unconfirmed: They did not give it.
    """
    require(database, by, action, subject)
    if program is not None:
        require_person(database, by, action, subject, *program)
    if by.session and not confirmed(database, by):
        error = Unconfirmed()
        refuse(database, by, action, subject.name, reason=error.message)
        raise error


def identify(database: Database, secret: str, address: str) -> Identity | None:
    """Whose session it is; None where it is unknown, revoked or too old.

    This is a use of the session, which keeps it alive.
    """
    moment, limits = now(), preferences(database)
    with database.read() as session:
        row = session.scalar(select(SessionRow).where(SessionRow.digest == digest(secret)))
        if row is None or not row.user.active or _over(row, limits):
            return None
        who = identity_of(row.user, address)
    if moment - row.seen > SEEN_EVERY:
        with database.write() as session:
            if again := session.get(SessionRow, row.id):
                again.seen = moment
    return replace(who, session=row.id)


def identify_many(database: Database, secrets: Collection[str]) -> dict[str, Identity]:
    """Whose sessions they are, all at once; those that count no more are left out.

    This is no use of a session, and keeps none alive.
    """
    given = {digest(secret): secret for secret in secrets}
    if not given:
        return {}
    limits = preferences(database)
    with database.read() as session:
        rows = session.scalars(select(SessionRow).where(SessionRow.digest.in_(given)))
        return {
            given[row.digest]: replace(identity_of(row.user, ""), session=row.id)
            for row in rows
            if row.user.active and not _over(row, limits)
        }


def identity_of(user: UserRow, address: str) -> Identity:
    """A user as one who asks."""
    return Identity(
        id=user.id,
        name=user.name,
        full_name=user.full_name or user.name,
        roles=tuple(sorted(role.name for role in user.roles)),
        rights=frozenset(right for role in user.roles for right in role.rights),
        must_change=user.must_change,
        language=user.language,
        address=address,
    )


def digest(secret: str) -> str:
    """What is kept of a random secret; no salt, since it cannot be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _over(row: SessionRow, limits: Preferences) -> bool:
    moment = now()
    return moment - row.seen > limits.unused or moment - row.created > limits.longest


def _clean_up(session: Session, limits: Preferences) -> None:
    """Drop what counts no more."""
    seen, created = now() - limits.unused, now() - limits.longest
    session.execute(
        delete(SessionRow).where(or_(SessionRow.seen < seen, SessionRow.created < created))
    )
    lockout.forget(session)
