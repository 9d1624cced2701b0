"""Models approved for hospitals, and models withdrawn; every such act is recorded."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from medfed.core.errors import StudyError
from medfed.core.study import PLAIN, PLAIN_NAME
from medfed.federation.enrolment.roster import enrolled_sites
from medfed.services.accounts import Identity, Subject, require
from medfed.services.audit import record
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database import Database
from medfed.storage.database.tables import ModelRow, ReleaseRow, RunRow, SiteRow
from medfed.storage.database.types import now, readable

LONGEST = 500
"""Characters of a reason."""


class Unfit(StudyError):
    """What was given for a release cannot be taken."""


class Releases:
    """Who may use which model.

    Args:
        database: Where it is kept.
        federation: The coordinator's folder, whose hospitals are known too; None where there is
            none.
    """

    def __init__(self, database: Database, federation: Path | None = None) -> None:
        self.database = database
        self.federation = federation

    def approve(self, by: Identity, number: int, site: str) -> ModelRow:
        """Approve a model for use at a hospital.

        Raises:
            AccessError: ``by`` may not.
            StudyError: ``site`` is no hospital's name, or no hospital is known by it.
            RunError: There is no such model, or it is withdrawn.
        """
        require(self.database, by, "model.release", Subject(f"model {number}"))
        if not PLAIN_NAME.fullmatch(site):
            raise Unfit(f"{site!r} is not a site name", remedy=f"Use {PLAIN}")
        with self.database.write() as session:
            row = _usable(session, number)
            known = self._known(session, row)
            if site not in known:
                remedy = f"Choose one of: {', '.join(sorted(known))}"
                raise Unfit(f"no hospital is known as {site}", remedy=remedy)
            if site not in {release.site for release in row.releases}:
                row.releases.append(ReleaseRow(site=site, by=by.name))
                record(session, by, "model.release", f"model {number}", reason=f"for {site}")
        return row

    def latest(self, limit: int) -> Sequence[tuple[ReleaseRow, ModelRow]]:
        """The latest approvals, each with its model, the newest first."""
        query = select(ReleaseRow, ModelRow).join(ModelRow).order_by(ReleaseRow.at.desc())
        with self.database.read() as session:
            return [(release, model) for release, model in session.execute(query.limit(limit))]

    def known(self, row: ModelRow) -> frozenset[str]:
        """The hospitals that a model may be approved for: all that are known here."""
        with self.database.read() as session:
            return self._known(session, row)

    def _known(self, session: Session, row: ModelRow) -> frozenset[str]:
        """Those of its run, those that any run has met, and those that have joined."""
        run = session.get(RunRow, row.run_id)
        joined = enrolled_sites(self.federation) if self.federation else ()
        met = session.scalars(select(SiteRow.name))
        return frozenset([*(run.sites if run else ()), *met, *(site.name for site in joined)])

    def take_back(self, by: Identity, number: int, site: str) -> ModelRow:
        """Approve a model for a hospital no longer.

        Raises:
            AccessError: ``by`` may not.
            RunError: It is not approved there.
        """
        require(self.database, by, "model.release", Subject(f"model {number}"))
        with self.database.write() as session:
            row = _found(session, number)
            kept = [release for release in row.releases if release.site != site]
            if len(kept) == len(row.releases):
                raise Missing("the model is not approved there", remedy="Look at its page")
            row.releases = kept
            record(session, by, "model.release", f"model {number}", reason=f"no more for {site}")
        return row

    def withdraw(self, by: Identity, number: int, reason: str) -> ModelRow:
        """Let nobody use a model any more; its card and report stay to be read.

        Raises:
            AccessError: ``by`` may not.
            StudyError: No reason is given.
            RunError: There is no such model, or it is withdrawn already.
        """
        require(self.database, by, "model.withdraw", Subject(f"model {number}"))
        why = readable(" ".join(reason.split()))[:LONGEST]
        if not why:
            raise Unfit("a model is withdrawn for a reason", remedy="Say why")
        with self.database.write() as session:
            row = _usable(session, number)
            row.withdrawn, row.withdrawn_by, row.reason = now(), by.name, why
            record(session, by, "model.withdraw", f"model {number}", reason=why)
        return row

    def by_digest(self, sha256: str) -> ModelRow:
        """The model of a digest: what a hospital asks before it uses a file.

        Where several runs gave the same file, one that is withdrawn comes first, then the latest.

        Raises:
            RunError: This console knows none.
        """
        query = (
            select(ModelRow)
            .where(ModelRow.sha256 == sha256)
            .order_by(ModelRow.withdrawn.is_(None), ModelRow.id.desc())
        )
        with self.database.read() as session:
            row = session.scalar(query.limit(1))
        if row is None:
            raise Missing("there is no such model", remedy="Look at the list of models")
        return row


def _found(session: Session, number: int) -> ModelRow:
    row = session.get(ModelRow, number, with_for_update=True)
    if row is None:
        raise Missing("there is no such model", remedy="Look at the list of models")
    return row


def _usable(session: Session, number: int) -> ModelRow:
    row = _found(session, number)
    refuse_withdrawn(row)
    return row


def refuse_withdrawn(row: ModelRow) -> None:
    """Complain about a model that is withdrawn.

    Raises:
        RunError: It is.
    """
    if row.withdrawn:
        raise Conflict(
            f"this model was withdrawn: {row.reason}", remedy="Use another; its page says more"
        )
