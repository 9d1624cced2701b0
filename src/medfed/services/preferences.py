"""What an administrator may set while the console runs; each has a value that is safe by itself.

What a console is made of (folder, database, address, keys, the PACS) stands elsewhere: it is said
where the console is started, by who owns the folder.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import select

from medfed.core.errors import MedfedError
from medfed.storage.database import Database
from medfed.storage.database.tables import SettingRow

SECONDS = 2.0
"""How long a process takes what it read last for true: it is asked at every request."""
BOUNDS: Mapping[str, tuple[int, int]] = {
    "session_unused_minutes": (5, 480),
    "session_longest_hours": (1, 24),
    "free_failures": (3, 10),
    "runs_at_once": (1, 16),
}
LONGEST_NOTICE = 300
LANGUAGES = ("", "en", "zh_Hans_CN")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What is set.

    Attributes:
        language: Of pages for who has not chosen one; empty for what their browser asks for.
        notice: What every page says above all else; empty for nothing.
        session_unused_minutes: How long a session lasts without use.
        session_longest_hours: How long it lasts at most.
        free_failures: Wrong passwords before a name is locked from there.
        runs_at_once: Runs that go on at the same time; others wait.
    """

    language: str = ""
    notice: str = ""
    session_unused_minutes: int = 120
    session_longest_hours: int = 12
    free_failures: int = 5
    runs_at_once: int = 2

    @property
    def unused(self) -> timedelta:
        """How long a session lasts without use."""
        return timedelta(minutes=self.session_unused_minutes)

    @property
    def longest(self) -> timedelta:
        """How long a session lasts at most."""
        return timedelta(hours=self.session_longest_hours)


DEFAULT = Preferences()
NAMES = tuple(each.name for each in fields(Preferences))
_read: WeakKeyDictionary[Database, tuple[float, Preferences]] = WeakKeyDictionary()
_lock = threading.Lock()


def preferences(database: Database) -> Preferences:
    """What is set now; what was set last, where the database cannot be asked."""
    with _lock:
        at, last = _read.get(database, (0.0, DEFAULT))
    if at and time.monotonic() - at < SECONDS:
        return last
    try:
        with database.read() as session:
            rows = session.execute(select(SettingRow.name, SettingRow.value)).all()
    except MedfedError:
        return last
    found = Preferences(**{name: value for name, value in rows if _fits(name, value)})
    with _lock:
        _read[database] = (time.monotonic(), found)
    return found


def forget(database: Database) -> None:
    """Read anew what was changed just now."""
    with _lock:
        _read.pop(database, None)


def _fits(name: str, value: Any) -> bool:
    """Whether a row can be taken: one of another version, or of somebody's own hand, may not."""
    if name not in NAMES or type(value) is not type(getattr(DEFAULT, name)):
        return False
    if name in BOUNDS:
        low, high = BOUNDS[name]
        return bool(low <= value <= high)
    return value in LANGUAGES if name == "language" else len(str(value)) <= LONGEST_NOTICE
