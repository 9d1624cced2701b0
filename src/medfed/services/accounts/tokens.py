"""Secrets for programs: hashed, limited in what they are for, and in time."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import select

from medfed.core.errors import AccessError
from medfed.services.accounts.identity import Identity, Subject
from medfed.services.accounts.login import SEEN_EVERY, digest, identity_of, require_confirmed
from medfed.services.accounts.rights import require
from medfed.services.audit import plain, record
from medfed.storage.database import Database
from medfed.storage.database.engine import Away
from medfed.storage.database.mirrored import OLDEST
from medfed.storage.database.tables import TokenRow
from medfed.storage.database.types import now

PREFIX = "medfed_"
"""Lets scanners for leaked secrets know one."""
SCOPES: Mapping[str, str] = {
    "read": "*.read",
    "studies": "study.*",
    "runs": "run.*",
    "models": "model.*",
    "recall": "model.read",
    "data": "data.*",
    "inference": "inference.*",
    "participation": "participation.*",
    "users": "user.read",
    "settings": "settings.*",
    "metrics": "metrics.read",
}
"""What a token can be for, and the actions that it covers; none makes or changes users."""
LONGEST_DAYS = 365


def make_token(
    database: Database, by: Identity, name: str, scopes: Sequence[str], days: int
) -> str:
    """Make a token for oneself.

    Returns:
        Its secret, which is shown once.

    Raises:
        AccessError: Something about it is not possible, or ``by`` must confirm first.
    """
    require_confirmed(database, by, "token.manage", Subject(f"token {name}", by.name))
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        known = ", ".join(SCOPES)
        raise AccessError("a token needs a scope that exists", remedy=f"Choose among: {known}")
    if not name.strip() or len(name) > 80:
        raise AccessError("a token needs a name of up to 80 characters", remedy="Name its use")
    if not 1 <= days <= LONGEST_DAYS:
        raise AccessError(f"a token lives 1 to {LONGEST_DAYS} days", remedy="Choose fewer days")
    secret = PREFIX + secrets.token_urlsafe(32)
    with database.write() as session:
        row = TokenRow(
            user_id=by.id,
            name=plain(name.strip(), 80),
            digest=digest(secret),
            scopes=sorted(set(scopes)),
            expires=now() + timedelta(days=days),
        )
        session.add(row)
        record(session, by, "token.manage", f"token {name.strip()}", reason="made")
    return secret


def tokens_of(database: Database, user: Identity) -> Sequence[TokenRow]:
    """The tokens of a user, the latest first."""
    query = select(TokenRow).where(TokenRow.user_id == user.id).order_by(TokenRow.id.desc())
    with database.read() as session:
        return session.scalars(query).all()


def revoke_token(database: Database, by: Identity, number: int) -> None:
    """Make a token worthless.

    Raises:
        AccessError: It is another's.
    """
    with database.read() as session:
        row = session.get(TokenRow, number)
    if row is None:
        return
    require(database, by, "token.manage", Subject(f"token {row.name}", row.user.name))
    with database.write() as session:
        if again := session.get(TokenRow, number):
            session.delete(again)
            record(session, by, "token.manage", f"token {row.name}", reason="revoked")
    _watching.get(database, {}).pop(row.digest, None)


def identify_tokens(database: Database, secrets: Collection[str]) -> dict[str, Identity]:
    """Who has these tokens, all at once; those that count no more are left out."""
    given = {digest(secret): secret for secret in secrets}
    if not given:
        return {}
    with database.read() as session:
        rows = session.scalars(select(TokenRow).where(TokenRow.digest.in_(given)))
        return {
            given[row.digest]: _limited(identity_of(row.user, ""), row)
            for row in rows
            if row.user.active and row.expires > now()
        }


def _limited(who: Identity, row: TokenRow) -> Identity:
    covered = frozenset(SCOPES[scope] for scope in row.scopes if scope in SCOPES)
    return replace(who, scopes=covered)


def identify_token(database: Database, secret: str, address: str) -> Identity | None:
    """Who has this token; None where it is unknown, revoked or too old.

    Whoever read the figures of this process before goes on reading them, and nothing else, while
    the database is away: they tell that it is. That ends when people see no mirror any more either,
    since nobody can ask whether the token was revoked elsewhere meanwhile.

    Raises:
        Away: The database is away, and the token was not known for that.
    """
    if not secret.startswith(PREFIX):
        return None
    watching = _watching.setdefault(database, {})
    try:
        row = _row_of(database, secret)
    except Away:
        known = watching.get(digest(secret))
        if known is None or known.until <= now():
            raise
        return replace(known.who, address=address)
    who = _limited(identity_of(row.user, address), row) if row else None
    if who and row and WATCH in {SCOPES.get(scope) for scope in row.scopes}:
        until = min(row.expires, now() + OLDEST)
        watching[row.digest] = _Watcher(replace(who, scopes=frozenset({WATCH})), until)
    else:
        watching.pop(digest(secret), None)
    return who


WATCH = "metrics.read"


class _Watcher(NamedTuple):
    who: Identity
    until: datetime


_watching: WeakKeyDictionary[Database, dict[str, _Watcher]] = WeakKeyDictionary()


def _row_of(database: Database, secret: str) -> TokenRow | None:
    """The row of a token that counts, marked as used."""
    with database.read() as session:
        row = session.scalar(select(TokenRow).where(TokenRow.digest == digest(secret)))
        if row is None and database.as_of is not None:
            raise Away("the database is away, and with it all tokens", remedy="Try again later")
        if row is None or row.expires <= now() or not row.user.active:
            return None
    if row.used is None or now() - row.used > SEEN_EVERY:
        with database.write() as session:
            if again := session.get(TokenRow, row.id):
                again.used = now()
    return row
