"""A database elsewhere, with a mirror of it beside the console for the time that it is away.

There is one truth, never two: the mirror is written from the database and read only in its place.
Several processes of a console share the folder of the mirror.
"""

import fcntl
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from medfed.core.errors import MedfedError
from medfed.storage.database.backup import MANIFEST, back_up, read_manifest
from medfed.storage.database.engine import Away, Database, told
from medfed.storage.database.standby import Standby, make_standby, tell_primary
from medfed.storage.database.tables import AuditRow, EventRow, RunRow
from medfed.storage.database.types import now

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
MIRROR_SECONDS = 60.0
OLDEST = timedelta(hours=24)
"""What is older is not shown to anybody."""
DAYS_OF_EVENTS = 7
DAYS_OF_AUDIT = 30
LEFT_OUT = ("tokens", "lockouts")
Opening = Callable[[], AbstractContextManager[Session]]


class Mirrored(Database):
    """A database that may be away for a while.

    Sessions read; while it is away they read the mirror, and `as_of` says of what moment that is.
    Sessions that write then fail, see `Standby`.

    Args:
        url: Of the database.
        folder: Of the mirror.
    """

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(url)
        self._folder = folder
        folder.mkdir(exist_ok=True, mode=0o700)
        self._copy: Standby | None = None
        self._late = False
        self._lock = threading.Lock()
        self._holds = -1
        self._next = 0.0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def upgrade(self) -> None:
        """As everywhere; where the database is away and there is a mirror, later."""
        try:
            super().upgrade()
        except Away:
            self._leave()
            self._late = True

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only looks."""
        with ExitStack() as stack:
            yield self._first(stack, super().read) or stack.enter_context(self._second().read())

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose work is kept whole at the end, or not at all."""
        with ExitStack() as stack:
            yield self._first(stack, super().write) or stack.enter_context(self._second().write())

    def _first(self, stack: ExitStack, session: Opening) -> Session | None:
        """A session of the database itself; None where it is away."""
        if self._copy is not None:
            return None
        try:
            opened = stack.enter_context(session())
            with told():
                opened.connection()  # whether it is away shows here, before anything is done
        except Away:
            self._leave()
            return None
        return opened

    def _second(self) -> Standby:
        if (copy := self._copy) is None:  # it came back this very moment
            raise Away("the database was away", remedy="Try again")
        return copy

    def alive(self) -> bool:
        """Whether the database answers, or in its place the mirror."""
        return self._copy is not None or super().alive()

    # --- keeping the mirror -----------------------------------------------------------------------

    def watch(self) -> None:
        """Begin to keep the mirror, and to look for the database where it is away."""
        self._thread = threading.Thread(target=self._keep_looking, name="mirror", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of all connections."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._let_go()
        super().close()

    def look(self) -> None:
        """Look once: leave for the mirror, come back from it, or write it anew when it is time."""
        here = super().alive()
        if self._copy is None and not here:
            self._leave()
        elif here:
            if self._copy is not None:
                self._come_back()
            if time.monotonic() >= self._next:
                began = time.monotonic()
                self._tell_what_was_left()
                self.mirror()
                # Never more than a twentieth of the time, however large it is.
                pause = max(MIRROR_SECONDS, 20 * (time.monotonic() - began))
                self._next = time.monotonic() + pause

    def mirror(self) -> None:
        """Write the mirror anew, unless another process just did."""
        with self._one_process() as alone:
            newest = self._newest()
            if not alone or (
                newest and now() - _moment(newest) < timedelta(seconds=0.5 * MIRROR_SECONDS)
            ):
                return
            target = self._folder / f"mirror-{now():%Y%m%dT%H%M%S%f}"
            back_up(self, target, leave_out=LEFT_OUT, only=_recent())
            for old in self._mirrors()[:-2]:
                shutil.rmtree(old, ignore_errors=True)

    def _keep_looking(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                self.look()
            except (MedfedError, OSError) as error:
                log.warning("the mirror waits: %s", error)
            except Exception:  # whatever it is, the next look may go well
                log.exception("looking after the mirror failed")

    # --- going and coming -------------------------------------------------------------------------

    def _leave(self) -> None:
        """Read the mirror from now on.

        Raises:
            Away: There is none that is young enough.
        """
        with self._lock:
            if self._copy is not None:
                return
            newest = self._newest()
            if newest is None or now() - _moment(newest) > OLDEST:
                message = "the database cannot be used, and there is no mirror of the last day"
                raise Away(message, remedy="Look whether it runs and can be reached")
            moment = _moment(newest)
            file = self._folder / f"standby-{newest.name.removeprefix('mirror-')}.sqlite"
            with self._one_process(wait=True):
                self._holds = _hold(file.with_suffix(".lock"))
                if not file.exists():
                    make_standby(newest, file)
            self._copy, self.as_of = Standby(file, moment), moment
            log.warning("the database is away; pages show it as of %s", moment)

    def _come_back(self) -> None:
        if self._late:
            super().upgrade()
            self._late = False
        self._let_go()
        self._tell_what_was_left()
        log.warning("the database is back")

    def _let_go(self) -> None:
        with self._lock:
            copy, self._copy, self.as_of = self._copy, None, None
            if copy is not None:
                copy.close()
                os.close(self._holds)

    def _tell_what_was_left(self) -> None:
        """Tell what happened in copies that no process reads any more, then remove them."""
        with self._one_process(wait=True):
            for file in sorted(self._folder.glob("standby-*.sqlite")):
                holds = _hold(file.with_suffix(".lock"), alone=True)
                if holds < 0:
                    continue  # another process still reads it, and will tell
                try:
                    tell_primary(file, self)
                    for each in self._folder.glob(f"{file.stem}.*"):
                        each.unlink()
                finally:
                    os.close(holds)

    @contextmanager
    def _one_process(self, *, wait: bool = False) -> Iterator[bool]:
        """Keep other processes of this console out; whether that was possible."""
        handle = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def _mirrors(self) -> list[Path]:
        return sorted(self._folder.glob("mirror-*"))

    def _newest(self) -> Path | None:
        whole = (each for each in reversed(self._mirrors()) if (each / MANIFEST).exists())
        return next(whole, None)


def _hold(file: Path, *, alone: bool = False) -> int:
    """A handle that says this process uses a copy; negative where others do and ``alone``."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except BlockingIOError:
        os.close(handle)
        return -1
    return handle


def _moment(mirror: Path) -> datetime:
    return datetime.fromisoformat(read_manifest(mirror)["at"])


def _recent() -> dict[str, ColumnElement[bool]]:
    """The rows of tables that only grow which pages show first."""
    moment = now()
    lately = or_(RunRow.ended.is_(None), RunRow.ended > moment - timedelta(days=DAYS_OF_EVENTS))
    return {
        "events": EventRow.run_id.in_(select(RunRow.id).where(lately)),
        "audit": AuditRow.at > moment - timedelta(days=DAYS_OF_AUDIT),
    }
