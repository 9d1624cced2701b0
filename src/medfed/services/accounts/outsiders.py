"""People whose password is kept elsewhere: by the hospital's identity provider (OpenID Connect).

They are known by the provider's lasting number for them (its ``sub``), never by a name or an
address that somebody else could take on: whoever has the e-mail of a local user is not that user.
"""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from medfed.core.errors import AccessError, RunError
from medfed.services.accounts.accounts import (
    RESERVED,
    SYSTEM,
    USER_NAME,
    managers,
    manages,
    roles_of,
)
from medfed.services.accounts.identity import Identity
from medfed.services.accounts.login import begin_session
from medfed.services.audit import plain, record
from medfed.services.preferences import preferences
from medfed.services.refusals import refuse
from medfed.storage.database import Database
from medfed.storage.database.engine import one_at_a_time
from medfed.storage.database.tables import OutsiderRow, SessionRow, UserRow
from medfed.storage.database.types import now

FILE = "oidc.toml"
KEYS = {"name", "issuer", "client_id", "client_secret", "roles_claim", "roles"}


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider, as ``oidc.toml`` in the console's folder describes it.

    Attributes:
        name: What people call it; stands on the button.
        issuer: Its address, exactly as it says it itself.
        client_id: The console's name there.
        client_secret: The console's secret there.
        roles_claim: The claim that holds a person's groups.
        roles: For a group, the roles of its people.
    """

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    roles_claim: str
    roles: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, folder: Path, known: Collection[str]) -> "Provider | None":
        """The provider of a console; None where its folder has no such file.

        Args:
            folder: The console's.
            known: Names of the roles that there are.

        Raises:
            RunError: The file is not in order.
        """
        file = folder / FILE
        if not file.exists():
            return None
        remedy = "See the how-to on log-in by the hospital's accounts"
        try:
            made = cls(**tomllib.loads(file.read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise RunError(f"{file} cannot be read: {error}", remedy=remedy) from error
        except TypeError:
            keys = ", ".join(sorted(KEYS))
            raise RunError(f"{file} needs exactly these keys: {keys}", remedy=remedy) from None
        if wrong := made.wrong(known):
            raise RunError(f"{file}: {wrong}", remedy=remedy)
        return made

    def wrong(self, known: Collection[str]) -> str:
        """What is not in order; empty where nothing is."""
        words: list[Any] = [self.name, self.issuer, self.client_id]
        words += [self.client_secret, self.roles_claim]
        if not all(isinstance(word, str) and word for word in words):
            return "a key has no text"
        if not re.match(r"https://|http://(localhost|127\.0\.0\.1)[:/]", self.issuer):
            return "the issuer must begin with https://"
        groups: Any = self.roles
        if not isinstance(groups, dict) or not groups:
            return "[roles] has no group"
        for group, roles in groups.items():
            if not isinstance(roles, list) or not all(each in known for each in roles):
                return f"the roles of {group!r} must be a list of: {', '.join(known)}"
        return ""

    def groups_with(self, role: str) -> Sequence[str]:
        """The groups whose people get a role."""
        return sorted(group for group, roles in self.roles.items() if role in roles)

    def roles_for(self, claims: Mapping[str, Any]) -> list[str]:
        """The roles that a person's groups come with."""
        given = claims.get(self.roles_claim)
        groups = given if isinstance(given, list) else [given]
        known = (self.roles.get(group, ()) for group in groups if isinstance(group, str))
        return sorted({role for roles in known for role in roles})


class Arrival(NamedTuple):
    """Somebody's log-in.

    Attributes:
        secret: Of their session.
        kept: Roles that no group of theirs gives, and that they keep; see `_indispensable`.
    """

    secret: str
    kept: Sequence[str]


def arrive(
    database: Database, provider: Provider, claims: Mapping[str, Any], address: str, agent: str
) -> Arrival:
    """Begin a session for somebody whom the provider has just vouched for.

    The first time makes a user of their own. Roles are those of their groups now: whoever has none
    any more has none in sessions and tokens either that are still open here. The last one who may
    create and change users keeps the role that says so: no group elsewhere locks a console up.

    Args:
        database: The console's.
        provider: Who vouches.
        claims: Of a verified ID token.
        address: Where they come from.
        agent: By what browser.

    Raises:
        AccessError: None of their groups has a role, or they are barred.
    """
    roles, problem = provider.roles_for(claims), ""
    called = str(claims.get("preferred_username") or claims["sub"])
    who, secret = Identity(name=plain(called, 64), address=address), ""
    limits = preferences(database)
    with database.write() as session:
        one_at_a_time(session, "administrators")
        user = _known(session, provider, claims)
        kept = _indispensable(session, user, roles)
        if not (roles := [*roles, *kept]):
            problem = "none of your groups has a role here"
            if user is not None:
                user.roles = []
        elif user is not None and not user.active:
            problem = "this account is barred"
        else:
            user = user or _new(session, provider, claims, called)
            user.full_name = plain(str(claims.get("name") or user.full_name), 120)
            user.roles, user.last_login = roles_of(session, roles), now()
            secret = begin_session(session, user, limits, address, agent, asked_at(claims))
            who = Identity(name=user.name, address=address)
        about = f"by {provider.issuer}; roles: {', '.join(roles) or 'none'}"
        if not problem:
            record(session, who, "session.begin", reason=about)
            _tell_kept(session, who.name, kept)
    if problem:
        refuse(database, who, "session.begin", reason=problem)
        raise AccessError(problem, remedy="Ask an administrator if you need to")
    return Arrival(secret, kept)


def _indispensable(session: Session, user: UserRow | None, given: Sequence[str]) -> list[str]:
    """Roles of a user that no group gives them now, and without which nobody managed users."""
    if managers(session) != [user] or any(map(manages, roles_of(session, given))):
        return []
    return [role.name for role in user.roles if manages(role)] if user else []


def _tell_kept(session: Session, name: str, kept: Sequence[str]) -> None:
    if kept:
        about = (
            f"kept roles: {', '.join(kept)}; no group gives them any more, "
            f"and nobody else may create and change users"
        )
        record(session, SYSTEM, "user.manage", f"user {name}", reason=about)


def _known(session: Session, provider: Provider, claims: Mapping[str, Any]) -> UserRow | None:
    row = session.get(OutsiderRow, (provider.issuer, str(claims["sub"])))
    return session.get_one(UserRow, row.user_id) if row else None


def _new(session: Session, provider: Provider, claims: Mapping[str, Any], wish: str) -> UserRow:
    user = UserRow(name=_free_name(session, wish), full_name="", password="")
    session.add(user)
    session.flush()
    row = OutsiderRow(issuer=provider.issuer, subject=str(claims["sub"]), user_id=user.id)
    session.add(row)
    return user


def confirm(
    database: Database, provider: Provider, by: Identity, claims: Mapping[str, Any]
) -> None:
    """Take it that the person of a session has just shown again who they are.

    Raises:
        AccessError: It was somebody else.
    """
    with database.write() as session:
        user, row = _known(session, provider, claims), session.get(SessionRow, by.session)
        if user is None or row is None or user.id != row.user_id:
            message = "somebody else logged in"
            raise AccessError(message, remedy="Log in again as yourself")
        row.confirmed = now()


def asked_at(claims: Mapping[str, Any]) -> datetime:
    """When the provider last asked somebody to show who they are; long ago if it does not say."""
    told = claims.get("auth_time")
    seconds = told if isinstance(told, (int, float)) else 0
    return datetime.fromtimestamp(min(max(0, seconds), now().timestamp()), UTC)


def is_outsider(database: Database, user: int) -> bool:
    """Whether a user's password is kept elsewhere."""
    query = select(OutsiderRow.user_id).where(OutsiderRow.user_id == user)
    with database.read() as session:
        return session.scalar(query) is not None


def _free_name(session: Session, wish: str) -> str:
    """A name that nobody has, after the one that the provider tells."""
    cleaned = re.sub(r"[^a-z0-9._-]+", "-", wish.partition("@")[0].lower()).strip("._-")[:50]
    base = cleaned if USER_NAME.fullmatch(cleaned) and cleaned not in RESERVED else "user"
    taken = set(session.scalars(select(UserRow.name).where(UserRow.name.startswith(base))))
    names = [base, *(f"{base}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)
