"""The decision whether a site that asks is enrolled; no HTTP in here."""

from collections.abc import Callable
from datetime import UTC, datetime

from medfed.core.errors import MedfedError, WireError
from medfed.federation.enrolment.certificates import certificate_fingerprint
from medfed.federation.enrolment.folder import CoordinatorFolder
from medfed.federation.enrolment.invites import invitation
from medfed.federation.enrolment.roster import EnrolledSite, add_site, enrolled_site
from medfed.federation.enrolment.statement import SignedStatement, Statement
from medfed.federation.keys import fingerprint

OnEnrolled = Callable[[EnrolledSite], None]


class Declined(MedfedError):
    """A site is not enrolled, under a name of `REASONS` that it is told."""

    def __init__(self, name: str) -> None:
        message, remedy, self.status = REASONS[name]
        super().__init__(message, remedy=remedy)
        self.name = name


REASONS = {
    "malformed": (
        "the coordinator could not read the request",
        "Compare the versions of medfed here and at the coordinator",
        400,
    ),
    "unknown-invitation": (
        "the coordinator does not know this code: it was replaced by a newer one, or withdrawn",
        "Ask the coordinator for a new code",
        403,
    ),
    "expired": (
        "this code has expired",
        "Ask the coordinator for a new code, and check the clock of this machine",
        403,
    ),
    "used": (
        "this code was used already, by a site with other keys",
        "Tell the coordinator at once if that was not you; else join with the folder of that time",
        409,
    ),
    "wrong-fingerprint": (
        "the coordinator expects another key under this name",
        "Read your fingerprint to the coordinator by telephone, to be corrected in its settings",
        403,
    ),
    "too-many-tries": (
        "there were too many wrong tries from this address",
        "Wait ten minutes, and copy the whole code",
        429,
    ),
    "not-now": (
        "the coordinator cannot enrol sites right now",
        "Run the same command again in a few minutes; its own log says what is wrong",
        503,
    ),
}
"""What a site is told: message, remedy, HTTP status. All of it is public."""


def enrol(folder: CoordinatorFolder, posted: SignedStatement, on_enrolled: OnEnrolled) -> bool:
    """Enrol a site, once or again with the same keys.

    Args:
        folder: The coordinator's.
        posted: What the site said and signed.
        on_enrolled: Called after the record is on disk, also when the same site asks again
            because the answer was lost; it must not mind being called twice.

    Returns:
        Whether the site is new.

    Raises:
        Declined: With the reason that the site is told.
    """
    said = posted.statement
    with folder.locked():
        invited = invitation(folder, said.site)
        if invited is None or said.authority != certificate_fingerprint(folder.authority()).hex():
            raise Declined("unknown-invitation")
        try:
            posted.check(invited.key)
        except WireError:
            raise Declined("unknown-invitation") from None
        before, site = enrolled_site(folder.path, said.site), _record(said)
        if before and not before.same_keys(site):
            raise Declined("used")
        if not before:
            if invited.expired(datetime.now(UTC)):
                raise Declined("expired")
            _check_pin(folder, site)
            add_site(folder.path, site)
    on_enrolled(before or site)
    return before is None


def _check_pin(folder: CoordinatorFolder, site: EnrolledSite) -> None:
    pinned = folder.settings().pinned(site.name)
    if pinned and pinned != site.fingerprint:
        raise Declined("wrong-fingerprint")


def _record(said: Statement) -> EnrolledSite:
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    mark = fingerprint(said.public_key)
    return EnrolledSite(said.site, said.key, mark, said.node_key, now, said.software[:40])
