"""The hospitals of a console: those that runs met, and those of its federation."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from medfed.federation.enrolment.folder import CoordinatorFolder
from medfed.federation.enrolment.invites import invite, open_invitations
from medfed.federation.enrolment.roster import EnrolledSite, enrolled_sites
from medfed.federation.keys import fingerprint
from medfed.services.accounts import Identity, Subject
from medfed.services.accounts.login import require_confirmed
from medfed.services.audit import record
from medfed.services.console.doing import arrived, doings
from medfed.services.console.place import Place
from medfed.services.trouble import Conflict
from medfed.storage.database import Database
from medfed.storage.database.tables import ModelRow, RoundRow, RunRow, SiteRow

if TYPE_CHECKING:
    from medfed.services.federation.status import SiteStatus, Status

DAYS = 2
"""How long an invitation is valid."""
LATEST = 50
"""Models, and rounds, that are looked through for how many patients a hospital has."""


@dataclass(frozen=True, slots=True)
class Hospital:
    """A hospital as this console knows it.

    Attributes:
        name: Its name.
        state: ``online``, ``offline``, ``unknown``, or ``local`` where runs make it here.
        since: When it came online or went, ISO 8601; empty where nobody knows.
        at_work: Whether a run that goes on asks it.
        doing: What it does for that run just now, see `doings`; empty for nothing.
        last_reply: When it last replied in a run.
        replies: How many replies counted.
        bytes_up: Bytes that came from it in the rounds of all runs, the one under way too.
        bytes_down: Bytes that went to it.
        patients: Test patients in the latest model's figures; None where they are not told.
        trained: Training patients in the latest round that told how many; None where none did.
        fingerprint: Of the key that was pinned when it joined; empty where it did not join.
        joined: When, ISO 8601.
        software: Its version of medfed on that day.
    """

    name: str
    state: str
    since: str
    at_work: bool
    doing: str
    last_reply: datetime | None
    replies: int
    bytes_up: int
    bytes_down: int
    patients: int | None
    trained: int | None
    fingerprint: str
    joined: str
    software: str


@dataclass(frozen=True, slots=True)
class Federation:
    """The federation that a console is attached to.

    Attributes:
        name: Its name.
        address: Where hospitals find it.
        fingerprint: Of the coordinator's key, which hospitals compare.
        running: Whether the coordinator's process runs.
        invited: Names with an open invitation, and until when.
        warnings: What somebody should see to.
    """

    name: str
    address: str
    fingerprint: str
    running: bool
    invited: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


class Hospitals:
    """The hospitals of one console.

    Args:
        database: Where what runs met is kept.
        place: Says where the federation's folder is.
    """

    def __init__(self, database: Database, place: Place) -> None:
        self.database = database
        self.place = place

    def list(self) -> tuple[Hospital, ...]:
        """All hospitals, by name.

        Raises:
            SiteError: The federation's folder is not in order.
        """
        home, status = self.place.federation, self._status()
        joined = {site.name: site for site in enrolled_sites(home)} if home else {}
        seen = {site.name: site for site in status.sites} if status else {}
        with self.database.read() as session:
            met = {row.name: row for row in session.scalars(select(SiteRow))}
            running = session.scalars(select(RunRow).where(RunRow.state == "running")).all()
            doing, here = doings(session, running), arrived(session, running)
            latest = select(ModelRow.patients).order_by(ModelRow.id.desc()).limit(LATEST)
            counts = session.scalars(latest).all()
            told = select(RoundRow.site_change).where(RoundRow.finished.is_not(None))
            changes = session.scalars(told.order_by(RoundRow.finished.desc()).limit(LATEST)).all()
        busy = {name for run in running for name in run.sites}
        patients = {name: n for told in reversed(counts) for name, n in told.items()}
        trained = {
            name: round(how["weight"])  # an update weighs as many as its training patients
            for change in reversed(changes)
            for name, how in change.items()
            if how.get("weight")
        }
        return tuple(
            _hospital(
                name=name,
                met=met.get(name),
                joined=joined.get(name),
                seen=seen.get(name),
                at_work=name in busy,
                doing=doing.get(name, ""),
                patients=(patients.get(name), trained.get(name)),
                arrived=here.get(name, 0),
            )
            for name in sorted({*met, *joined, *busy})
        )

    def federation(self) -> Federation | None:
        """The federation; None where the console is attached to none.

        Raises:
            SiteError: Its folder is not in order.
        """
        if self.place.federation is None:
            return None
        keeper, status = CoordinatorFolder(self.place.federation), self._status()
        settings = keeper.settings()
        return Federation(
            name=settings.name,
            address=str(settings.address),
            fingerprint=fingerprint(keeper.public_key()),
            running=bool(status and status.running),
            invited=tuple((each.site, each.expires) for each in open_invitations(keeper)),
            warnings=tuple(_without_place(keeper.warnings(), self.place.federation)),
        )

    def invite(self, by: Identity, site: str) -> str:
        """Invite a hospital.

        Returns:
            The code, which is kept nowhere.

        Raises:
            AccessError: ``by`` may not or must confirm first.
            SiteError: The name cannot be used or is taken.
            RunError: The console is attached to no federation.
        """
        require_confirmed(self.database, by, "site.invite", Subject(f"site {site}"))
        if self.place.federation is None:
            remedy = "Start it with --federation FOLDER"
            raise Conflict("this console is attached to no federation", remedy=remedy)
        code = invite(CoordinatorFolder(self.place.federation), site, timedelta(days=DAYS))
        with self.database.write() as session:
            record(session, by, "site.invite", f"site {site}", reason=f"for {DAYS} days")
        return str(code)

    def _status(self) -> "Status | None":
        if self.place.federation is None or find_spec("flwr") is None:
            return None
        from medfed.services.federation.status import status_of  # imports Flower's stubs

        return status_of(self.place.federation)


def _hospital(
    *,
    name: str,
    met: SiteRow | None,
    joined: EnrolledSite | None,
    seen: "SiteStatus | None",
    at_work: bool,
    doing: str,
    patients: tuple[int | None, int | None],
    arrived: int,
) -> Hospital:
    return Hospital(
        name=name,
        state=(seen.state if seen else "unknown") if joined else "local",
        since=seen.since if seen else "",
        at_work=at_work,
        doing=doing,
        last_reply=met.last_reply if met else None,
        replies=met.replies if met else 0,
        bytes_up=(met.bytes_up if met else 0) + arrived,
        bytes_down=met.bytes_down if met else 0,
        patients=patients[0],
        trained=patients[1],
        fingerprint=joined.fingerprint if joined else "",
        joined=joined.enrolled if joined else "",
        software=joined.software if joined else "",
    )


def _without_place(sentences: list[str], home: Path) -> Iterator[str]:
    """Pages say nothing of where things lie on this machine."""
    return (sentence.replace(str(home), "FOLDER") for sentence in sentences)
