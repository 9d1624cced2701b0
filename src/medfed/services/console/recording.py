"""Told of a run's events inside its process, writes them into the console's database."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from medfed.core.errors import MedfedError, RunError
from medfed.core.events import Event
from medfed.services.console.outbox import Outbox
from medfed.services.console.taking import Moment, catch_up, last_number, take
from medfed.storage.database import Database
from medfed.storage.database.bell import ring
from medfed.storage.database.tables import ModelRow, RunRow
from medfed.storage.database.types import now, readable
from medfed.storage.run_folder import Busy

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=15)
"""A process that has not said for so long that it lives is taken to be gone."""
RENEW_SECONDS = 1.0
"""How often it says so, and hears of a wish to stop, where nothing happens."""
RETRY_SECONDS = 1.0
BATCH_SECONDS = 0.1
PATIENCE_SECONDS = 60.0
"""How long the end of a run waits for a database that is away."""

Change = Callable[[RunRow], None]


class Fenced(RunError):
    """Another process has taken the run."""


class Recorder:
    """Listens to a run, and keeps its row in the database up to date.

    A thread writes, so that training does not wait for the database, and goes on where it is away
    for a while; events then wait in the outbox. The same thread keeps the lease and obeys a wish to
    stop.

    Args:
        database: The console's.
        run: The run's id.
        fence: The number under which the run was given to this process.
        stop: Called once when the run is to stop.
        outbox: Keeps events on the disk until they are in the database.
    """

    def __init__(
        self,
        database: Database,
        run: str,
        fence: int,
        stop: Callable[[], None] | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self.database = database
        self.run = run
        self.fence = fence
        self.wanted = "run"
        self._stop = stop or _end_this_process
        self._queue: SimpleQueue[Moment] = SimpleQueue()
        self._outbox = outbox or Outbox(None)
        self._waiting = self._outbox.left()
        with database.read() as session:
            known = last_number(session, run)
        self._last = max([known, *(number for number, _ in self._waiting)])
        self._rows: Sequence[Mapping[str, Any]] = ()
        self._over = threading.Event()
        self._lost = False
        self._written = 0.0
        self._thread = threading.Thread(target=self._keep_writing, daemon=True)
        self._write()  # complains here and now where the database cannot be used
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Take an event in; it is written a moment later."""
        self._queue.put((now(), event))

    def catch_up(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """At the end, fill in the rounds that an earlier process had no time to tell."""
        self._rows = rows

    def end(self, change: Change, result: Mapping[str, Any] | None = None) -> None:
        """Write what is left, and how the run ended.

        Args:
            change: Puts the end into the run's row.
            result: What ``result.json`` says, where there is one.
        """
        self._over.set()
        self._thread.join()
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not self._lost:
            try:
                self._write(change, result)
            except Fenced:
                self._lost = True
            except Exception:  # whatever it is, how the run ended must get there
                log.warning("the end of the run waits for the database", exc_info=True)
                if time.monotonic() > give_up:
                    log.warning("the database does not answer; the run's folder has all of it")
                    return
                time.sleep(RETRY_SECONDS)
            else:
                return

    def _keep_writing(self) -> None:
        while not self._over.is_set():
            self._gather()
            if not self._due():
                continue
            try:
                self._write()
            except Fenced:
                self._lost = True
                break
            except (SQLAlchemyError, RunError) as error:
                log.warning("events wait for the database: %s", error)
                time.sleep(RETRY_SECONDS)
            except Exception:  # without this thread the run would lose its lease
                log.exception("writing down events failed")
                time.sleep(RETRY_SECONDS)
            if self.wanted == "stop":
                break
        if self._lost or self.wanted == "stop":
            self._stop()

    def _due(self) -> bool:
        return bool(self._waiting) or time.monotonic() - self._written > RENEW_SECONDS

    def _gather(self) -> None:
        """Wait for an event, then take what else comes within a moment."""
        until, events = time.monotonic() + BATCH_SECONDS, list[Moment]()
        while (left := until - time.monotonic()) > 0:
            try:
                events.append(self._queue.get(timeout=left))
            except Empty:
                break
        self._keep(events)

    def _keep(self, events: Sequence[Moment]) -> None:
        """Number events, and have them on the disk before anything depends on the database."""
        numbered = list(enumerate(events, start=self._last + 1))
        self._last += len(numbered)
        self._outbox.put(numbered)
        self._waiting += numbered

    def _write(self, change: Change | None = None, result: Mapping[str, Any] | None = None) -> None:
        events = list[Moment]()
        while not self._queue.empty():
            events.append(self._queue.get())
        self._keep(events)
        with self.database.write() as session:
            row = session.get(RunRow, self.run, with_for_update=True)
            if row is None or row.fence != self.fence:
                raise Fenced("another process has taken this run", remedy="Leave it to that one")
            take(session, row, self._waiting)
            row.lease = None if change else now() + LEASE
            if change:
                catch_up(session, row, self._rows)
                change(row)
            if result:
                session.add(_model(row, result))
            self.wanted = row.wanted
            ring(session, self.run)
        if self._waiting:
            self._waiting.clear()
            self._outbox.clear()
        self._written = time.monotonic()


@contextmanager
def recorded(recorder: Recorder) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Say in the database how what happens inside ended; gives who is told the result."""
    results: list[Mapping[str, Any]] = []
    try:
        yield results.append
    except Busy:
        recorder.end(_try_again)
        raise
    except MedfedError as error:
        recorder.end(_ended("failed", error.message, error.remedy))
        raise
    except (SystemExit, KeyboardInterrupt):
        # Asked for by a person, or the machine goes down: then whoever comes next goes on.
        asked = recorder.wanted == "stop"
        recorder.end(_ended("stopped") if asked else lambda _: None)
        raise
    except BaseException as error:
        remedy = "Read the run's log at the coordinator"
        message = f"an error that medfed did not foresee ({type(error).__name__})"
        recorder.end(_ended("failed", message, remedy))
        raise
    recorder.end(_ended("finished"), results[-1] if results else None)


def _try_again(row: RunRow) -> None:
    """The process before this one lives: nothing is wrong with the run."""
    row.attempts = max(0, row.attempts - 1)


def _ended(state: str, message: str = "", remedy: str = "") -> Change:
    def change(row: RunRow) -> None:
        row.state, row.ended = state, now()
        row.message, row.remedy = readable(message), readable(remedy)

    return change


def _model(row: RunRow, result: Mapping[str, Any]) -> ModelRow:
    row.bytes_up, row.bytes_down = result["bytes_up"], result["bytes_down"]
    row.round = result["rounds"]
    return ModelRow(
        run_id=row.id,
        title=row.title,
        sha256=result["model_sha256"],
        kept_round=result["kept_round"],
        metrics=result["metrics"],
        patients=result["patients"],
    )


def _end_this_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
