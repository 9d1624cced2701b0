"""The process of one job: ``python -m medfed.services.hospital.work CONSOLE SITE JOB``."""

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from medfed.core.errors import MedfedError
from medfed.federation.site_folder import SiteFolder
from medfed.services.console_database import open_database
from medfed.services.hospital.jobs import FAILED, FINISHED, RUNNING, Jobs
from medfed.storage.database import Database
from medfed.storage.database.tables import JobRow
from medfed.storage.database.types import now

log = logging.getLogger(__name__)

HANDLERS: Mapping[str, str] = {
    "import": "medfed.services.hospital.importing:run_import",
    "look": "medfed.services.inference.looking:look",
    "assess": "medfed.services.inference.assessing:assess",
    "export": "medfed.services.inference.exporting:export",
    "send": "medfed.services.inference.sending:send",
}
"""Who does a kind of job: a function that takes a `Work` and returns the job's result."""

PACE_SECONDS = 0.3


@dataclass
class Work:
    """A job, for whoever does it.

    Attributes:
        job: What is asked for.
        site: The site's own folder.
        console: The console's folder.
        jobs: Where the job's own folder is.
    """

    job: JobRow
    site: Path
    console: Path
    jobs: Jobs
    _told: float = field(default=0.0, repr=False)

    @property
    def folder(self) -> Path:
        """The job's own folder."""
        return self.jobs.folder(self.job.id)

    def tell(self, done: int, total: int | None = None) -> None:
        """Say how far it is; the pages show it. Not every word is written down."""
        if time.monotonic() - self._told < PACE_SECONDS:
            return
        self._told = time.monotonic()
        with self.jobs.database.write() as session:
            row = session.get_one(JobRow, self.job.id)
            row.done, row.total = done, total


def work(console: Path, site: Path, job: str, database: Database) -> None:
    """Do a job, and write down what came of it."""
    jobs = Jobs(database, console)
    row = jobs.find(job)
    try:
        result = handler(row.kind)(Work(row, site, console, jobs))
    except MedfedError as error:
        _settle(database, job, FAILED, message=error.message, remedy=error.remedy)
    except Exception as error:  # noqa: BLE001  # whatever it is, the job must not stay open
        _log(job, error, sealed=SiteFolder(site).settings().encrypt_with is not None)
        message, remedy = "something went wrong that nobody foresaw", "It is in logs/jobs.log"
        _settle(database, job, FAILED, message=message, remedy=remedy)
    else:
        _settle(database, job, FINISHED, result=result)


def _log(job: str, error: Exception, *, sealed: bool) -> None:
    """Into the hospital's own log, never to the page; in an encrypted one without its words.

    A message may name a file, and so a patient; where in the code it happened names nobody.
    """
    if not sealed:
        log.error("job %s failed", job, exc_info=error)
        return
    places = traceback.extract_tb(error.__traceback__)
    where = "\n".join(f"  {each.filename}:{each.lineno} in {each.name}" for each in places)
    log.error("job %s failed: %s at\n%s", job, type(error).__name__, where)


def handler(kind: str) -> Callable[[Work], dict[str, Any]]:
    """Who does jobs of a kind."""
    module, _, name = HANDLERS[kind].partition(":")
    found: Callable[[Work], dict[str, Any]] = getattr(import_module(module), name)
    return found


def _settle(database: Database, job: str, state: str, **more: Any) -> None:
    with database.write() as session:
        row = session.get_one(JobRow, job, with_for_update=True)
        if row.state == RUNNING:
            row.state, row.ended = state, now()
            for name, value in more.items():
                setattr(row, name, value)


def _end_with_the_keeper() -> None:
    sys.stdin.buffer.read()  # nothing is ever written; it ends when the keeper does
    os._exit(1)


def main(console: str, site: str, job: str) -> None:
    """Do one job."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    threading.Thread(target=_end_with_the_keeper, daemon=True).start()
    database = open_database(os.environ["MEDFED_DATABASE"])
    work(Path(console), Path(site), job, database)
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
