"""The demo's console: three hospitals, people, a study, and its run, as any console has them.

::

    DEMO/console/             the console's folder; the run's is in it
    DEMO/hospitals/NAME/      a hospital's own folder: its scans, under other names
    DEMO/alone/NAME/          runs of each hospital by itself
    DEMO/demo.json            the figures
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from medfed.core.errors import RunError
from medfed.core.events import Event, read_event
from medfed.services.accounts import Identity
from medfed.services.accounts.accounts import ADMINISTRATOR
from medfed.services.accounts.passwords import ROUNDS
from medfed.services.console import Console, Faces
from medfed.services.console.runs import OPEN
from medfed.services.demo_hospitals import House, runs_of, take_part
from medfed.services.demo_study import HOSPITALS, TEXT
from medfed.services.sites import create_site
from medfed.storage.database.tables import RunRow

ADMIN = "admin"
ROLES = (ADMINISTRATOR, "coordinator", "data-steward", "clinician")
"""One person may see and do everything, so that one log-in shows all there is."""
COLLEAGUES = {
    "grace": ("Grace Osei (synthetic)", ("researcher",)),
    "ming": ("李明 (synthetic)", ("clinician",)),
}
LOOK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Furnished:
    """A console that is ready to be served.

    Attributes:
        folder: The console's.
        site: The first hospital's own, which it shows.
        password: Of the user `ADMIN`.
        admin: That user.
        study: Number of the study, approved.
    """

    folder: Path
    site: Path
    password: str
    admin: Identity
    study: int

    @property
    def faces(self) -> Faces:
        """What the console shows."""
        return Faces(site=self.site, coordinates=True, rehearsed=runs_of(self.folder.parent))


def furnish(out: Path, *, text: str = TEXT, bcrypt_rounds: int = ROUNDS) -> Furnished:
    """Make what is missing of the demo's hospital, people and study.

    Args:
        out: The demo's folder.
        text: Its study.
        bcrypt_rounds: Work factor of the passwords; tests take less.

    Returns:
        What was made, with a new password each time.

    Raises:
        MedfedError: The folder holds something else, or cannot be written.
    """
    site = out / "hospitals" / HOSPITALS[0]
    if not (site / "site.toml").exists():
        create_site(site, HOSPITALS[0], None)
    folder = out / "console"
    console = Console.open(folder, faces=Faces(site=site), bcrypt_rounds=bcrypt_rounds)
    try:
        new = console.accounts.begin(ROLES[1:]) is not None
        password = console.accounts.reset(ADMIN, must_change=False)
        admin = console.accounts.identify(console.accounts.log_in(ADMIN, password))
        if admin is None:
            raise AssertionError("whoever has just logged in is known")
        if new:
            for name, (full_name, roles) in COLLEAGUES.items():
                console.accounts.create(admin, name, full_name, roles)
        study = _study(console, admin, text)
        take_part(console, admin, text)
        console.accounts.end_session(admin, admin.session)
    finally:
        console.close()
    return Furnished(folder, site, password, admin, study)


def _study(console: Console, by: Identity, text: str) -> int:
    rows, _ = console.studies.list()
    for row in rows:
        if row.toml == text and row.state == "approved":
            return row.id
    row = console.studies.create(by, text)
    return console.studies.approve(by, row.id, row.digest).id


def begin(console: Console, by: Identity, study: int) -> RunRow:
    """Have the study run, or go on where a demo before this one was stopped.

    Args:
        console: Being served.
        by: Who asks.
        study: Number of the study.
    """
    rows, _ = console.runs.list(study=study)
    if not rows:
        return console.runs.start(by, study)
    row = rows[-1]  # the first: people may have started others since
    return console.runs.resume(by, row.id) if row.state in ("stopped", "failed") else row


def follow(console: Console, run: str, listen: Callable[[Event], None]) -> None:
    """Tell of a run's events until it is finished.

    Raises:
        RunError: It failed, or was stopped.
    """
    seen = 0
    while True:
        row = console.runs.find(run)
        for event in console.runs.events(run, after=seen):
            listen(read_event({"event": event.kind, **event.body}))
            seen = event.number
        if row.state not in OPEN:
            break
        time.sleep(LOOK_SECONDS)
    if row.state != "finished":
        message = row.message or f"the demo's run is {row.state}"
        raise RunError(message, remedy=row.remedy or "Start the demo again: it goes on from there")


def stop(console: Console, by: Identity, study: int) -> None:
    """Stop what is under way: nobody would look after it when the demo is over."""
    for row in console.runs.list(study=study)[0]:
        if row.state in OPEN:
            console.runs.stop(by, row.id)


def put_to_work(
    console: Console, by: Identity, run: str, others: Mapping[House, Console] | None = None
) -> None:
    """Release the run's model to the hospitals, each of which approves it by its digest.

    Args:
        console: The coordinator's, and the first hospital's.
        by: Who releases and approves it there.
        run: The run.
        others: The consoles of the other hospitals.

    Raises:
        MedfedError: There is none, or it was withdrawn meanwhile.
    """
    model = console.models.of_run(run)
    if model is None:
        raise RunError("the demo's run left no model", remedy="Read the run's log")
    at = {HOSPITALS[0]: (console, by)}
    at |= {house.name: (served, house.admin) for house, served in (others or {}).items()}
    for name, (served, admin) in at.items():
        if served.desk is None:
            raise AssertionError("a hospital's console has a desk")
        if not any(row.sha256 == model.sha256 for row in served.desk.models.list()):
            console.releases.approve(by, model.id, name)
            served.desk.models.admit(admin, console.place.run_folder(run))
