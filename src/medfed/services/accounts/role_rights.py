"""What each role may do: looked at and changed. `may` asks these rows at every request."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from sqlalchemy.orm import Session

from medfed.core.errors import AccessError
from medfed.services.accounts.accounts import keep_an_administrator
from medfed.services.accounts.identity import Identity, Subject
from medfed.services.accounts.login import require_confirmed
from medfed.services.accounts.rights import covers
from medfed.services.accounts.roles import ACTIONS, EVERYBODY, ROLES
from medfed.services.audit import plain, record
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database import Database
from medfed.storage.database.engine import one_at_a_time
from medfed.storage.database.tables import RoleRow

Reach = Literal["all", "own"]
LONGEST_ABOUT = 200
OWNED = frozenset({"study.edit", "run.stop"})
"""Acts upon what is somebody's, which a role may have for what is one's own only."""
BEFORE: Mapping[str, str] = {
    "site.invite": "overview.read",
    "session.revoke": "user.read",
    "inference.run": "inference.view",
    "inference.review": "inference.view",
    "inference.export": "inference.view",
}
"""What else must be allowed for an act to be of use, beside seeing the things it is upon."""


def reaches(rights: Iterable[str]) -> dict[str, Reach]:
    """Each act that rights allow, and upon what: all things, or one's own."""
    held, found = frozenset(rights), dict[str, Reach]()
    for action in ACTIONS:
        if covers(held, action):
            found[action] = "all"
        elif covers(held, f"{action}:own"):
            found[action] = "own"
    return found


def rights_of(chosen: Mapping[str, Reach], general: Iterable[str] = ()) -> list[str]:
    """Rights that allow just this, the inverse of `reaches`.

    Args:
        chosen: Each act, and upon what.
        general: Rights to many acts, such as ``*.read``, that are taken where all of those are
            chosen: with them a role may the same of what a later program can do.
    """
    whole = {action for action, reach in chosen.items() if reach == "all"}
    kept = [each for each in dict.fromkeys(general) if "*" in each and _acts(each) <= whole]
    left = [action for action in ACTIONS if action in chosen and not covers(kept, action)]
    return kept + [each if each in whole else f"{each}:own" for each in left]


def _acts(right: str) -> set[str]:
    found = {action for action in ACTIONS if covers((right,), action)}
    return found or {right}  # of no act that there is: nobody chose it


def check(chosen: Mapping[str, str]) -> dict[str, Reach]:
    """What was chosen for a role, if there is sense in it.

    Raises:
        AccessError: There is no such act, it is nobody's own, or is of no use without another.
    """
    found = dict[str, Reach]()
    for action, reach in chosen.items():
        if action not in ACTIONS:
            raise AccessError(f"there is no right {action!r}", remedy="Choose among those shown")
        if reach not in ("all", "own") or (reach == "own" and action not in OWNED):
            raise AccessError(
                f"there is no right {f'{action}:{reach}'!r}", remedy="Choose among those shown"
            )
        found[action] = "all" if reach == "all" else "own"
    for action in found:
        for needed in (f"{action.partition('.')[0]}.read", BEFORE.get(action, "")):
            if needed in ACTIONS and needed not in found and f"{needed}:own" not in EVERYBODY:
                raise AccessError(
                    f"who may {ACTIONS[action]} must also {ACTIONS[needed]}",
                    remedy="Allow both, or neither",
                )
    return found


def change_role(
    database: Database,
    by: Identity,
    name: str,
    chosen: Mapping[str, str],
    seen: Sequence[str] | None = None,
    about: str | None = None,
) -> RoleRow:
    """Say what a role may; it counts from the next request of whoever has it.

    Args:
        database: The console's.
        by: Who says so.
        name: The role.
        chosen: Each act, and upon what: ``all`` or ``own``.
        seen: Its rights as ``by`` saw them; None to change them whatever they are.
        about: What it is for; None to leave it as it is.

    Raises:
        AccessError: ``by`` may not or must confirm first, there is no sense in it, the words are
            this program's, or nobody would be left who manages users.
        Missing: There is no such role.
        Conflict: Somebody else changed it meanwhile.
    """
    require_confirmed(database, by, "user.manage", Subject(f"role {name}"))
    wanted = check(chosen)
    with database.write() as session:
        one_at_a_time(session, "administrators")
        row = role_of(session, name)
        before = list(row.rights)
        if seen is not None and sorted(seen) != sorted(before):
            message = "somebody else changed this role meanwhile"
            raise Conflict(message, remedy="Load the page again and look at it")
        row.rights = rights_of(wanted, (*before, *ROLES.get(name, ())))
        if about is not None:
            _describe(session, by, row, about)
        session.flush()
        keep_an_administrator(session)
        now_given, taken = _difference(reaches(before), wanted)
        if now_given or taken:
            said = f"allowed: {', '.join(now_given) or '–'}; taken away: {', '.join(taken) or '–'}"
            record(session, by, "user.manage", f"role {name}", reason=said)
    return row


def _describe(session: Session, by: Identity, row: RoleRow, about: str) -> None:
    """Say what a role of somebody's own is for."""
    words = in_words(about)
    if words == row.about:
        return
    if row.name in ROLES:
        message = "what a role that medfed ships is for cannot be said anew"
        raise AccessError(message, remedy="Make a role of your own")
    row.about = words
    record(session, by, "user.manage", f"role {row.name}", reason=f"is for: {words or '–'}")


def in_words(about: str) -> str:
    """What somebody says a role is for, on one line."""
    return plain(" ".join(about.split()), LONGEST_ABOUT)


def shipped(name: str) -> dict[str, Reach]:
    """What a role may as this program has it; nothing for a role of somebody's own."""
    return reaches(ROLES.get(name, ()))


def find_role(database: Database, name: str) -> RoleRow:
    """A role.

    Raises:
        Missing: There is none of this name.
    """
    with database.read() as session:
        return role_of(session, name)


def role_of(session: Session, name: str) -> RoleRow:
    """The same, in a session that goes on.

    Raises:
        Missing: There is none of this name.
    """
    row = session.get(RoleRow, name)
    if row is None:
        raise Missing("there is no such role", remedy="Look at the list of roles")
    return row


def named(action: str, reach: Reach) -> str:
    """A right as programs and the record write it."""
    return action if reach == "all" else f"{action}:own"


def _difference(
    before: Mapping[str, Reach], after: Mapping[str, Reach]
) -> tuple[list[str], list[str]]:
    """Rights that came, and that went, by name."""
    old, new = ({named(*pair) for pair in each.items()} for each in (before, after))
    return sorted(new - old), sorted(old - new)
