"""What runs are doing, each in a small file of its own, for anybody who asks.

::

    activity/RUN.json    written by the run at every event, whole or not at all
"""

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medfed.core.events import (
    Event,
    Notice,
    ReplyCounted,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    Scored,
    SiteMissing,
)
from medfed.core.files import write_json

FOLDER = "activity"
NOTICES = 5


@dataclass
class Activity:
    """One run, as it stands.

    Attributes:
        run: Its id.
        title: The study's title.
        study: The study's digest.
        folder: The run's folder.
        process: Number of its process.
        rounds: How many rounds it is to have.
        round: The round it is at.
        purpose: ``query``, ``train`` or ``evaluate``.
        since: When the round began, seconds since 1970.
        waiting: Sites that have not answered in this round.
        answered: Sites that have.
        missing: Sites that were left out of this round, and why.
        metrics: How the latest scored aggregate did.
        notices: The last things said.
        done: Why it ended; empty while it goes on.
        updated: When this was written.
    """

    run: str = ""
    title: str = ""
    study: str = ""
    folder: str = ""
    process: int = 0
    rounds: int = 0
    round: int = 0
    purpose: str = ""
    since: float = 0.0
    waiting: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    done: str = ""
    updated: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether its process runs, on this machine."""
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return self.process > 0


class ActivityFile:
    """Told what happens in a run, keeps its file up to date.

    Args:
        home: The coordinator's folder.
        run: The run's id.
        folder: The run's folder.
    """

    def __init__(self, home: Path, run: str, folder: Path) -> None:
        self._path = home / FOLDER / f"{run}.json"
        self._path.parent.mkdir(exist_ok=True, mode=0o700)
        self._now = Activity(run=run, folder=str(folder.resolve()), process=os.getpid())

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        _take(self._now, event)
        self._write()

    def ended(self, why: str) -> None:
        """Say that the run came to an end that no event tells of."""
        self._now.done = self._now.done or why
        self._write()

    def _write(self) -> None:
        self._now.updated = time.time()
        write_json(self._path, asdict(self._now), durable=False)


def _take(now: Activity, event: Event) -> None:
    match event:
        case RunStarted():
            now.title, now.study, now.rounds = event.title, event.study, event.rounds
            now.round = event.resumed_at
        case RoundStarted():
            now.round, now.purpose, now.since = event.round, event.purpose, time.time()
            now.waiting, now.answered, now.missing = list(event.sites), [], {}
        case ReplyCounted():
            now.waiting = [site for site in now.waiting if site != event.site]
            now.answered.append(event.site)
        case SiteMissing():
            now.waiting = [site for site in now.waiting if site != event.site]
            now.missing[event.site] = f"{event.reason}: {event.message}"
        case Scored():
            now.metrics = dict(event.metrics)
        case RoundFinished():
            now.waiting = []
        case Notice():
            now.notices = [*now.notices, event.message][-NOTICES:]
        case RunFinished():
            now.done = event.reason


def activities(home: Path) -> list[Activity]:
    """All runs that a coordinator's folder knows, the latest last."""
    found = [_read(file) for file in (home / FOLDER).glob("*.json")]
    return sorted((each for each in found if each), key=lambda each: each.updated)


def _read(file: Path) -> Activity | None:
    try:
        given: dict[str, Any] = json.loads(file.read_bytes())
        return Activity(**given)
    except (OSError, ValueError, TypeError):
        return None
