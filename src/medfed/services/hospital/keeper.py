"""Starts a process for each job that is asked for, and sees how it ends."""

import logging
import os
import subprocess
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from medfed.core.errors import RunError
from medfed.core.own_process import own_process
from medfed.services.accounts.accounts import SYSTEM
from medfed.services.federation.alone import alone
from medfed.services.hospital.hospital import Hospital
from medfed.services.hospital.jobs import FAILED, OPEN, QUEUED, RUNNING
from medfed.storage.database import Database
from medfed.storage.database.tables import JobRow, UploadRow
from medfed.storage.database.types import now

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""Processes that a job may lose."""
EVERY_SECONDS = 0.3
OPEN_FOR = timedelta(days=7)
"""How long files of a job that does not begin are kept after the last of them came."""
TIDY_EVERY = timedelta(hours=1)


@dataclass(slots=True)
class _Child:
    job: str
    kind: str
    process: subprocess.Popen[bytes]


class Keeper:
    """Has a hospital's jobs done, one of each kind at a time.

    A job's process ends with the keeper's, whose end it notices by its standard input; what it had
    not finished is begun again by the next keeper. Only one keeps a console's jobs at a time.

    Args:
        database: The console's.
        console: The console's folder.
        hospital: Whose jobs.
    """

    def __init__(self, database: Database, console: Path, hospital: Hospital) -> None:
        self.database = database
        self.console = console
        self.hospital = hospital
        self._children: list[_Child] = []
        self._tidied = now() - 2 * TIDY_EVERY
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more, and end what is at work; it begins again with the next keeper."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def tick(self) -> None:
        """Look once: see who ended, begin what is to be done."""
        if now() - self._tidied > TIDY_EVERY:
            self._tidied = now()
            self.forget_old()
        for child in [each for each in self._children if each.process.poll() is not None]:
            self._children.remove(child)
            with child.process:  # closes its standard input
                self._lost(child.job)
        while (row := self._next()) is not None:
            self._begin(row)

    def forget_old(self) -> None:
        """Remove jobs that nobody sends files for any more, with what was sent."""
        before = now() - OPEN_FOR
        fresh = select(UploadRow.job_id).where(UploadRow.updated > before)
        query = select(JobRow.id).where(JobRow.state == OPEN, JobRow.created < before)
        with self.database.read() as session:
            old = session.scalars(query.where(JobRow.id.not_in(fresh))).all()
        for job in old:
            self.hospital.jobs.drop(SYSTEM, job)

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                with alone(self.console, "jobs"):
                    self._keep()
            except RunError:
                self._over.wait(2.0)  # another process of this console keeps them

    def _keep(self) -> None:
        try:
            self._lost(None)
            while not self._over.wait(EVERY_SECONDS):
                try:
                    self.tick()
                except RunError as error:
                    log.warning("jobs wait: %s", error)
                except Exception:  # whatever it is, the next look may go well
                    log.exception("looking after the jobs failed")
        finally:
            for child in self._children:
                with child.process:
                    child.process.kill()

    def _lost(self, job: str | None) -> None:
        """What ended without saying how, or was at work before this keeper, is done once more."""
        query = select(JobRow).where(JobRow.state == RUNNING)
        if job is not None:
            query = query.where(JobRow.id == job)
        with self.database.write() as session:
            for row in session.scalars(query):
                if row.attempts < ATTEMPTS:
                    row.state = QUEUED
                    continue
                row.state, row.ended = FAILED, now()
                row.message = f"the process for it ended unexpectedly {ATTEMPTS} times"
                row.remedy = "Look whether memory and disk suffice, then try again"

    def _next(self) -> JobRow | None:
        at_work = [child.kind for child in self._children]
        query = select(JobRow).where(JobRow.state == QUEUED, JobRow.kind.not_in(at_work))
        query = query.order_by(JobRow.created).limit(1)
        with self.database.read() as session:
            if session.scalar(query.with_only_columns(JobRow.id)) is None:
                return None  # the usual case, without a write
        with self.database.write() as session:
            row = session.scalar(query.with_for_update(skip_locked=True))
            if row is not None:
                row.state, row.attempts = RUNNING, row.attempts + 1
                row.started = row.started or now()
        return row

    def _begin(self, row: JobRow) -> None:
        module = "medfed.services.hospital.work"
        arguments = [str(self.console), str(self.hospital.site), row.id]
        command = ["nice", "-n", "10", *own_process(module), *arguments]
        # Not an argument: everybody on the machine can read those, and the URL has a password.
        url = self.database.url.render_as_string(hide_password=False)
        (self.console / "logs").mkdir(mode=0o700, exist_ok=True)
        with (self.console / "logs" / "jobs.log").open("ab") as said:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                env={**os.environ, "MEDFED_DATABASE": url},
                start_new_session=True,  # Ctrl-C at the console's terminal is not for the job
            )
        self._children.append(_Child(row.id, row.kind, process))
