"""Pages that show how things stand at large: told that something changed, they ask what."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medfed.core.errors import DataError, SiteError
from medfed.core.files import canonical_json
from medfed.services.console import Console
from medfed.services.console.hospitals import Hospital
from medfed.services.hospital.imports import KIND as IMPORT
from medfed.services.trouble import Missing
from medfed.storage.database.types import now
from medfed.web.people import ONLINE

ALL = "all"
PACE_SECONDS = 2.0
"""How often a glance is taken, however many look on."""


@dataclass
class Glance:
    """What a page of lists shows, as a mark that changes when that does.

    Attributes:
        right: The action that a follower may do.
        look: What is shown, as plain data; the same for everybody.
    """

    right: str
    look: Callable[[], Any]
    _mark: str = field(default="", init=False)
    _taken: float = field(default=0.0, init=False)

    def find(self, subject: str) -> Any:
        """All of it.

        Raises:
            Missing: Something else is asked for.
        """
        if subject != ALL:
            raise Missing("there is no such list", remedy="Load the page again")
        return subject

    def summary(self, row: Any) -> Mapping[str, Any]:
        """The mark: nothing that only some may see."""
        moment = time.monotonic()
        if not self._mark or moment - self._taken >= PACE_SECONDS:
            try:
                seen = canonical_json(self.look())
            except (SiteError, DataError) as error:  # a damaged folder, which the page tells of
                seen = error.message.encode()
            self._mark, self._taken = hashlib.sha256(seen).hexdigest()[:16], moment
        return {"mark": self._mark}

    def events(self, row: Any, after: int) -> Sequence[Mapping[str, Any]]:
        """None: the page itself says what is new."""
        return []


def people(console: Console) -> Any:
    """Who has which sessions, and which of them were used just now."""
    sessions = [
        [row.id, row.user_id, now() - row.seen < ONLINE] for row in console.accounts.sessions()
    ]
    users = [
        [row.name, row.full_name, row.active, sorted(role.name for role in row.roles)]
        for row in console.accounts.users()
    ]
    return [sorted(sessions), users]


def overview(console: Console) -> Any:
    """How the federation, or the hospital, stands."""
    federation = _federation(console) if console.coordinates else None
    return [federation, _hospital(console)]


def _federation(console: Console) -> Any:
    runs, total = console.runs.list(limit=100)
    models, _ = console.models.list(limit=25)
    about = console.hospitals.federation()
    return [
        total,
        console.studies.list(limit=1)[1],
        [[row.id, row.state, row.round] for row in runs],
        [[row.id, bool(row.withdrawn), [each.site for each in row.releases]] for row in models],
        [_hospital_of(each) for each in console.hospitals.list()],
        [about.running, list(about.warnings)] if about else None,
    ]


def _hospital_of(each: Hospital) -> list[Any]:
    traffic = [each.replies, each.bytes_up, each.bytes_down]
    return [each.name, each.state, each.at_work, each.doing, each.patients, each.trained, traffic]


def _hospital(console: Console) -> Any:
    here, desk = console.hospital, console.desk
    if here is None or desk is None:
        return None
    counts = here.scans.counts()
    imports, _ = here.jobs.list(IMPORT, limit=5)
    return [
        [counts.patients, counts.scans, counts.bytes, len(here.tables.list())],
        [[job.id, job.state] for job in imports],
        desk.inferences.to_review(),
        [row.id for row in desk.recall.unheard()],
        sum(not each.approved for each in here.participation.list()),
    ]
