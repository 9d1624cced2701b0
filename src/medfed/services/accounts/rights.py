"""The one question for rights, which pages, API and live rooms all ask."""

from collections.abc import Iterable
from dataclasses import dataclass

from medfed.core.errors import AccessError
from medfed.services.accounts.identity import ANYTHING, Identity, Subject
from medfed.services.accounts.roles import ACTIONS, EVERYBODY
from medfed.services.refusals import refuse
from medfed.storage.database import Database


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes or no, and why not.

    Attributes:
        allowed: The answer.
        why: Public name of the reason for a no: ``anonymous``, ``change-password``, ``scope``,
            ``not-yours`` or ``role``.
        reason: The same as a sentence.
    """

    allowed: bool
    why: str = ""
    reason: str = ""

    def __bool__(self) -> bool:
        return self.allowed


YES = Decision(allowed=True)


def may(user: Identity, action: str, subject: Subject = ANYTHING) -> Decision:
    """Whether a user may do something.

    Args:
        user: Who asks.
        action: One of `ACTIONS`.
        subject: Upon what. Without an owner, a right to what is one's own counts: it is asked
            again when the thing itself is known.

    Raises:
        KeyError: There is no such action: a mistake in the program, never a yes.
    """
    deed = ACTIONS[action]
    if not user.known:
        return Decision(False, "anonymous", "nobody is logged in")
    if user.must_change and action != "session.revoke":
        return Decision(False, "change-password", "the password must be changed first")
    if user.scopes is not None and not covers(user.scopes, action):
        return Decision(False, "scope", f"this token is not for {action}")
    rights = user.rights | EVERYBODY
    if covers(rights, action):
        return YES
    if covers(rights, f"{action}:own"):
        if subject.owner is None or subject.owner == user.name:
            return YES
        return Decision(False, "not-yours", f"your role lets you {deed} only where they are yours")
    return Decision(False, "role", f"none of your roles lets you {deed}")


def asked(database: Database, user: Identity, action: str, subject: Subject = ANYTHING) -> Decision:
    """`may`, and a denial of somebody known is recorded."""
    decision = may(user, action, subject)
    # Whoever is on the way to the log-in or to the password page has done nothing.
    if not decision and decision.why not in ("anonymous", "change-password"):
        refuse(database, user, action, subject.name, reason=decision.reason)
    return decision


def require(database: Database, user: Identity, action: str, subject: Subject = ANYTHING) -> None:
    """Let only those pass who may; see `asked`.

    Raises:
        AccessError: With the reason.
    """
    if not (decision := asked(database, user, action, subject)):
        raise Denied(decision)


def require_person(
    database: Database, user: Identity, action: str, subject: Subject, message: str, remedy: str
) -> None:
    """Let only people in a browser pass, no program, however much its token is for.

    Args:
        database: The console's.
        user: Who asks.
        action: What they want to do.
        subject: Upon what.
        message: Why no program may.
        remedy: What to do.

    Raises:
        AccessError: It is a program.
    """
    if user.scopes is not None:
        refuse(database, user, action, subject.name, reason=message)
        raise AccessError(message, remedy=remedy)


class Denied(AccessError):
    """A person may not do this."""

    def __init__(self, decision: Decision) -> None:
        remedy = "Log in" if decision.why == "anonymous" else "Ask an administrator if you need to"
        super().__init__(decision.reason, remedy=remedy)
        self.decision = decision


def covers(rights: Iterable[str], action: str) -> bool:
    """Whether one of these rights is to an act, or to several that it is among."""
    kind, _, deed = action.partition(".")
    return not {action, f"{kind}.*", f"*.{deed}"}.isdisjoint(rights)
