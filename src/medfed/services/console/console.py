"""One console: its database, its people, its studies, runs and models, put together.

It has two faces. The coordinator's shows studies, runs and models; a hospital's shows its data. One
console may show both.
"""

from dataclasses import dataclass
from pathlib import Path

from medfed.federation.enrolment.folder import CoordinatorFolder
from medfed.services.accounts import Accounts
from medfed.services.accounts.passwords import ROUNDS, Passwords
from medfed.services.console.comparisons import Comparisons
from medfed.services.console.hospitals import Hospitals
from medfed.services.console.models import Models
from medfed.services.console.place import Place
from medfed.services.console.releases import Releases
from medfed.services.console.results import Results
from medfed.services.console.runs import Runs
from medfed.services.console.studies import Studies
from medfed.services.console_database import open_database
from medfed.services.consoles_of import remember_console
from medfed.services.hospital import Hospital
from medfed.services.inference.desk import Desk
from medfed.services.machine_acts import take_in
from medfed.services.protections import Protections
from medfed.storage.database import Database
from medfed.storage.database.mirrored import Mirrored


@dataclass(frozen=True, slots=True)
class Faces:
    """What a console shows.

    Attributes:
        site: A hospital's own folder, for its face.
        coordinates: Whether to show the coordinator's face.
        federation: Folder of a coordinator on this machine, where there is one.
        rehearsed: Folder of runs that make sites of their own for the hospital, as in a demo: what
            left those is shown as what left it.
    """

    site: Path | None = None
    coordinates: bool = True
    federation: Path | None = None
    rehearsed: Path | None = None


COORDINATOR = Faces()


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages and the API are made of.

    Attributes:
        hospital: The hospital whose face it shows; None for a coordinator's console.
        coordinates: Whether it shows the coordinator's face.
        protections: What studies promise.
        desk: Models at work in that hospital.
    """

    place: Place
    database: Database
    accounts: Accounts
    studies: Studies
    runs: Runs
    models: Models
    releases: Releases
    hospitals: Hospitals
    comparisons: Comparisons
    results: Results
    protections: Protections
    hospital: Hospital | None = None
    coordinates: bool = True
    desk: Desk | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        url: str = "",
        *,
        faces: Faces = COORDINATOR,
        bcrypt_rounds: int = ROUNDS,
    ) -> "Console":
        """Open a console, and bring its database to this program's revision.

        Args:
            folder: Its folder, see `Place`; made where there is none.
            url: Of its database; the embedded one by default.
            faces: What it shows.
            bcrypt_rounds: Work factor of the passwords.

        Raises:
            RunError: The folder or the database cannot be used.
            SiteError: ``faces.site`` is no site's folder, or ``faces.federation`` no coordinator's.
        """
        place = Place.open(folder, faces.federation)
        if faces.federation:
            CoordinatorFolder(faces.federation).settings()  # complains here and now
        database = open_database(url or place.database_url)
        if database.on_postgres:
            database = Mirrored(url, place.path / "mirror")
        database.upgrade()
        releases, site = Releases(database, faces.federation), faces.site
        hospital = Hospital.open(site, database, place.path, faces.rehearsed) if site else None
        if faces.site:
            remember_console(faces.site, place.path, url or place.database_url)
        local = releases.by_digest if faces.coordinates else None
        return cls(
            place,
            database,
            Accounts(database, Passwords(place.pepper, bcrypt_rounds)),
            Studies(database),
            Runs(database, place),
            Models(database, place),
            releases,
            Hospitals(database, place),
            Comparisons(place),
            Results(place),
            Protections(),
            hospital,
            faces.coordinates,
            Desk.open(database, place.path, site, local) if site else None,
        )

    @property
    def first_roles(self) -> tuple[str, ...]:
        """What the first user is, beside administrator: whatever the faces need."""
        roles = {"coordinator": self.coordinates, "data-steward": self.hospital is not None}
        return tuple(role for role, needed in roles.items() if needed)

    def take_in_acts(self) -> None:
        """Take what was done by commands upon the folders that this shows into the record."""
        shown = (self.place.federation, self.hospital.site if self.hospital else None)
        take_in(self.database, [folder for folder in shown if folder is not None])

    def watch(self) -> None:
        """Look after what the pages need while they are served."""
        self.take_in_acts()
        if isinstance(self.database, Mirrored):
            self.database.watch()

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()
