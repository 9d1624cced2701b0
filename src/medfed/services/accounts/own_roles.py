"""Roles of a console's own, beside those that this program ships: made, renamed and removed."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from medfed.core.errors import AccessError
from medfed.services.accounts.identity import Identity, Subject
from medfed.services.accounts.login import require_confirmed
from medfed.services.accounts.outsiders import Provider
from medfed.services.accounts.role_rights import check, in_words, named, rights_of, role_of
from medfed.services.accounts.roles import ROLES
from medfed.services.audit import record
from medfed.services.trouble import Conflict
from medfed.storage.database import Database
from medfed.storage.database.engine import one_at_a_time
from medfed.storage.database.tables import RoleRow, UserRow, user_roles

ROLE_NAME = re.compile(r"[^\W\d_](?:[ ._-]?[^\W_]){1,39}")
"""Letters of any script, digits, and single marks between them: what the record can list."""
LONGEST_NAME = 40
RESERVED = frozenset({"new", "none"})
"""Names with a page of their own where roles' pages are, and such that the record uses."""


def make_role(
    database: Database,
    by: Identity,
    name: str,
    about: str,
    chosen: Mapping[str, str],
    shown: Collection[str] = (),
) -> RoleRow:
    """Make a role.

    Args:
        database: The console's.
        by: Who makes it.
        name: What it is called: on pages, in the record and in ``oidc.toml``.
        about: What it is for.
        chosen: Each act that it allows, and upon what: ``all`` or ``own``.
        shown: What pages call the roles that this program ships.

    Raises:
        AccessError: ``by`` may not or must confirm first, the name is impossible, or there is no
            sense in the rights.
        Conflict: There is such a role.
    """
    require_confirmed(database, by, "user.manage", Subject("a role"))
    name = _possible(name)
    wanted = check(chosen)
    with database.write() as session:
        one_at_a_time(session, "administrators")
        _free(session, name, shown)
        row = RoleRow(name=name, about=in_words(about), rights=rights_of(wanted))
        session.add(row)
        rights = ", ".join(sorted(named(*pair) for pair in wanted.items())) or "–"
        said = f"created; allowed: {rights}; is for: {row.about or '–'}"
        record(session, by, "user.manage", f"role {name}", reason=said)
    return row


def rename_role(
    database: Database,
    by: Identity,
    name: str,
    new: str,
    provider: Provider | None = None,
    shown: Collection[str] = (),
) -> RoleRow:
    """Call a role otherwise; whoever has it keeps it, and the record keeps its old name.

    Args:
        database: The console's.
        by: Who renames it.
        name: The role.
        new: What it is called from now on.
        provider: Gives roles to people by their groups.
        shown: What pages call the roles that this program ships.

    Raises:
        AccessError: ``by`` may not or must confirm first, or the new name is impossible.
        Missing: There is no such role.
        Conflict: This program ships it, its name stands in ``oidc.toml``, or the new one is taken.
    """
    require_confirmed(database, by, "user.manage", Subject(f"role {name}"))
    new = _possible(new)
    with database.write() as session:
        one_at_a_time(session, "administrators")
        row = _own(session, name)
        _in_no_group(name, provider)
        _free(session, new, shown, but=name)
        if new == name:
            return row
        renamed = RoleRow(name=new, about=row.about, rights=row.rights)
        session.add(renamed)
        session.flush()
        held = update(user_roles).where(user_roles.c.role == name)
        session.execute(held.values(role=new))
        session.delete(row)
        record(session, by, "user.manage", f"role {name}", reason=f"renamed: {new}")
    return renamed


def _possible(name: str) -> str:
    """A name as it is kept.

    Raises:
        AccessError: It cannot be one.
    """
    name = unicodedata.normalize("NFKC", name).strip()
    if not ROLE_NAME.fullmatch(name) or len(name) > LONGEST_NAME or name.casefold() in RESERVED:
        remedy = "Use 2 to 40 letters and digits, with single spaces, dots or hyphens between them"
        raise AccessError("this cannot be the name of a role", remedy=remedy)
    return name


def _free(session: Session, name: str, shown: Collection[str], but: str = "") -> None:
    """Refuse a name that people would take for another role's, in whichever language they read.

    Raises:
        Conflict: It is one.
    """
    taken = {*ROLES, *shown, *session.scalars(select(RoleRow.name))} - {but}
    if _alike(name) in map(_alike, taken):
        raise Conflict("there is a role of this name", remedy="Choose another name")


def _alike(name: str) -> str:
    """The same for names that people would take for one another."""
    return re.sub("[ ._-]", "-", name.casefold())


def remove_role(
    database: Database, by: Identity, name: str, provider: Provider | None = None
) -> None:
    """Remove a role that nobody has.

    Args:
        database: The console's.
        by: Who removes it.
        name: The role.
        provider: Gives roles to people by their groups.

    Raises:
        AccessError: ``by`` may not or must confirm first.
        Missing: There is no such role.
        Conflict: This program ships it, somebody has it, or people would get it by a group.
    """
    require_confirmed(database, by, "user.manage", Subject(f"role {name}"))
    with database.write() as session:
        one_at_a_time(session, "administrators")
        row = _own(session, name)
        if having := session.scalars(_having(name)).all():
            message = f"somebody has this role: {', '.join(having)}"
            raise Conflict(message, remedy="Give them other roles first")
        _in_no_group(name, provider)
        session.delete(row)
        record(session, by, "user.manage", f"role {name}", reason="removed")


def _own(session: Session, name: str) -> RoleRow:
    """A role that was made here.

    Raises:
        Missing: There is no such role.
        Conflict: This program ships it.
    """
    row = role_of(session, name)
    if name in ROLES:
        message = "this role comes with medfed and stays"
        raise Conflict(message, remedy="Give it to nobody, or take its rights away")
    return row


def _in_no_group(name: str, provider: Provider | None) -> None:
    if groups := provider.groups_with(name) if provider else ():
        message = f"the identity provider gives this role to groups: {', '.join(groups)}"
        raise Conflict(message, remedy="Take it out of oidc.toml and start the console again")


def holders(database: Database, name: str) -> Sequence[str]:
    """Names of the users who have a role."""
    with database.read() as session:
        return session.scalars(_having(name)).all()


def _having(name: str) -> Select[str]:
    held = UserRow.roles.any(RoleRow.name == name)
    return select(UserRow.name).where(held).order_by(UserRow.name)
