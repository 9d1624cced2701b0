"""Runs what the database asks for, each run in a process of its own, as a person would."""

import logging
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import false, func, or_, select
from sqlalchemy.orm import Session

from medfed.core.errors import RunError
from medfed.core.files import write_atomic
from medfed.core.own_process import own_process
from medfed.services.console.comparisons import Comparison
from medfed.services.console.place import Place
from medfed.services.preferences import preferences
from medfed.storage.database import Database
from medfed.storage.database.engine import Away, one_at_a_time
from medfed.storage.database.tables import RunRow
from medfed.storage.database.types import now

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""Processes that may be lost in a row without a finished round between them."""
TO_BEGIN = timedelta(seconds=60)
"""How long a new process has until it must say for the first time that it lives."""
EVERY_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
"""How long runs have, once the database is back, to say that they live."""


@dataclass(slots=True)
class _Child:
    run: str
    fence: int
    process: subprocess.Popen[bytes]


class Supervisor:
    """Takes runs that nobody works on, and starts a process for each.

    Several supervisors may share a database: a run is taken in one transaction, under a number
    (the fence) that only grows, and a process with an older number may write no more. A process
    outlives the supervisor that started it; its lease in the database says that it lives.

    Args:
        database: The console's.
        place: Where runs' folders are.
        command: How to call medfed.
        environment: More environment for the processes.
    """

    def __init__(
        self,
        database: Database,
        place: Place,
        command: Sequence[str] = own_process(),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.database = database
        self.place = place
        self.command = tuple(command)
        url = database.url.render_as_string(hide_password=False)
        # Not an argument: everybody on the machine can read those, and the URL has a password.
        self.environment = {**os.environ, "MEDFED_DATABASE": url, **(environment or {})}
        self._children: list[_Child] = []
        self._told = ""
        self._patient_until = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; the runs' processes go on."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def tick(self) -> None:
        """Look once: see who ended, take what is to be done.

        Raises:
            Away: The database is away.
        """
        if self.database.as_of is not None:
            raise Away("the database is away", remedy="Runs under way go on; others wait")
        self._reap()
        while (taken := self._take()) is not None:
            self._begin(*taken)

    def _watch(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            try:
                self.tick()
                self._told = ""
            except RunError as error:
                if isinstance(error, Away):
                    self._patient_until = time.monotonic() + PATIENCE_SECONDS
                self._tell(str(error))
            except Exception:  # whatever it is, the next look may go well
                log.exception("looking after the runs failed")

    def _tell(self, why: str) -> None:
        """Say why runs wait, once: the next look is a second later, and it may be hours."""
        if why != self._told:
            log.warning("runs wait: %s", why)
        self._told = why

    def _reap(self) -> None:
        """A process that ended without saying how has lost its run: let it be taken at once."""
        for child in [each for each in self._children if each.process.poll() is not None]:
            self._children.remove(child)
            with self.database.write() as session:
                row = session.get(RunRow, child.run, with_for_update=True)
                if row and row.fence == child.fence and row.state == "running":
                    row.lease = None
                    status = child.process.returncode
                    log.warning("run %s lost its process (status %s)", child.run, status)

    def _take(self) -> tuple[RunRow, int] | None:
        moment = now()
        # After the database was away leases are over, and their holders have yet to say so.
        over = RunRow.lease < moment if time.monotonic() >= self._patient_until else false()
        free = or_(RunRow.lease.is_(None), over)
        # Whose process lives and is only out of touch: nothing is won by a second one.
        ours = [child.run for child in self._children if child.process.poll() is None]
        query = select(RunRow).where(RunRow.state.in_(("queued", "running")), free)
        query = query.where(RunRow.id.not_in(ours))
        query = query.order_by(RunRow.created).limit(1).with_for_update(skip_locked=True)
        with self.database.read() as session:
            if session.scalar(query.with_only_columns(RunRow.id)) is None:
                return None  # the usual case, without a write
        with self.database.write() as session:
            one_at_a_time(session, "taking runs")
            row = session.scalar(query)
            if row is None or self._full(session):
                return None
            if _over(row):
                return None
            row.fence += 1
            row.attempts += 1
            row.state, row.lease = "running", moment + TO_BEGIN
            row.started = row.started or moment
        return row, row.fence

    def _full(self, session: Session) -> bool:
        living = select(func.count(RunRow.id)).where(
            RunRow.state == "running", RunRow.lease > now()
        )
        return (session.scalar(living) or 0) >= preferences(self.database).runs_at_once

    def _begin(self, row: RunRow, fence: int) -> None:
        file = self.place.study_file(row.id)
        write_atomic(file, row.toml.encode())
        ours = ["--out", str(self.place.run_folder(row.id)), "--record", f"{row.id}:{fence}"]
        kind, *more = self._words_of(row)
        command = ["nice", "-n", "10", *self.command, kind, str(file), *ours, *more]
        with self.place.log_file(row.id).open("ab") as said:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=self.environment,
                start_new_session=True,  # Ctrl-C at the console's terminal is not for the run
            )
        self._children.append(_Child(row.id, fence, process))

    def _words_of(self, row: RunRow) -> list[str]:
        """The command of medfed that does it, and its options."""
        if row.kind == "comparison":  # it goes on where it was by itself
            return ["compare", *Comparison(**row.options).words()]
        resume = ["--resume"] if (self.place.run_folder(row.id) / "run.json").exists() else []
        if row.engine == "federation" and self.place.federation:
            return [
                "run",
                "--engine",
                "flower",
                "--coordinator",
                str(self.place.federation),
                *resume,
            ]
        return ["run", "--engine", row.engine, *resume]


def _over(row: RunRow) -> bool:
    """Settle a run that is not to be begun again; whether it is one."""
    if row.wanted == "stop":
        row.state, row.ended, row.lease = "stopped", now(), None
        return True
    if row.attempts >= ATTEMPTS:
        row.state, row.ended, row.lease = "failed", now(), None
        row.message = f"the run's process ended unexpectedly {ATTEMPTS} times in a row"
        row.remedy = "Read the run's log at the coordinator, mend the cause, then resume"
        return True
    return False
