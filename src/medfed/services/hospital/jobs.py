"""Jobs: what a hospital's console has done in processes of their own."""

import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from medfed.services.accounts import Identity, Subject, require
from medfed.services.audit import plain, record
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database import Database
from medfed.storage.database.tables import JobRow

OPEN, QUEUED, RUNNING, FINISHED, FAILED = "open", "queued", "running", "finished", "failed"


class Jobs:
    """The jobs of one hospital.

    Args:
        database: The console's.
        console: The console's folder; each job has a folder of its own in it.
    """

    def __init__(self, database: Database, console: Path) -> None:
        self.database = database
        self.console = console

    def folder(self, job: str) -> Path:
        """A job's own folder; it is made where somebody writes into it, and may hold patients'."""
        return self.console / "jobs" / job

    def make(
        self,
        by: Identity,
        kind: str,
        options: Mapping[str, Any],
        *,
        action: str,
        subject: str = "",
        state: str = QUEUED,
    ) -> JobRow:
        """Ask for a job.

        Args:
            by: Who asks.
            kind: One of `medfed.services.hospital.work.HANDLERS`.
            options: Plain data for whoever does it.
            action: The right that it takes.
            subject: What it is about; names no patient.
            state: ``queued`` to begin at once, ``open`` where files are to be sent first.

        Raises:
            AccessError: ``by`` may not.
        """
        require(self.database, by, action, Subject(subject, by.name))
        row = JobRow(
            id=secrets.token_hex(16),
            kind=kind,
            state=state,
            owner=by.name,
            subject=plain(subject, 200),
            options=dict(options),
        )
        with self.database.write() as session:
            session.add(row)
            reason = f"asked for: {subject}" if subject else "asked for"
            record(session, by, action, f"{kind} {row.id}", reason=reason)
        return row

    def find(self, job: str, kind: str = "", owner: str | None = None) -> JobRow:
        """One job.

        Args:
            job: Its id.
            kind: Only one of this kind.
            owner: Only this user's.

        Raises:
            Missing: There is none.
        """
        with self.database.read() as session:
            row = session.get(JobRow, job)
        if row is None or kind not in ("", row.kind) or owner not in (None, row.owner):
            raise Missing("there is no such job", remedy="Look at the list")
        return row

    def list(
        self, kind: str, *, owner: str | None = None, offset: int = 0, limit: int = 25
    ) -> tuple[Sequence[JobRow], int]:
        """Jobs of a kind, the latest first, and how many there are in all."""
        query = select(JobRow).where(JobRow.kind == kind)
        if owner is not None:
            query = query.where(JobRow.owner == owner)
        page = query.order_by(JobRow.created.desc(), JobRow.id).offset(offset).limit(limit)
        with self.database.read() as session:
            count = session.scalar(select(func.count()).select_from(query.subquery())) or 0
            return session.scalars(page).all(), count

    def queue(self, by: Identity, job: str, options: Mapping[str, Any] | None = None) -> JobRow:
        """Have a job begin: one that was open, or one that is over, once more.

        Raises:
            Conflict: It has begun or is done.
        """
        with self.database.write() as session:
            row = session.get(JobRow, job, with_for_update=True)
            if row is None or row.state not in (OPEN, FAILED, FINISHED):
                message = "this job has begun already"
                raise Conflict(message, remedy="Load the page again")
            row.state, row.attempts, row.done, row.total = QUEUED, 0, 0, None
            row.message = row.remedy = ""
            row.options = {**row.options, **(options or {})}
            row.result = row.started = row.ended = None
            record(session, by, f"{row.kind}.begin", f"{row.kind} {row.id}")
        return row

    def drop(self, by: Identity, job: str) -> None:
        """Forget a job that is not at work, and remove its files.

        Raises:
            Conflict: It is at work.
        """
        with self.database.write() as session:
            row = session.get(JobRow, job, with_for_update=True)
            if row is None:
                return
            if row.state in (QUEUED, RUNNING):
                raise Conflict("this job has begun already", remedy="Wait until it has ended")
            session.delete(row)
            record(session, by, f"{row.kind}.drop", f"{row.kind} {row.id}")
        shutil.rmtree(self.folder(job), ignore_errors=True)
