"""One console: its database, its people, its studies, runs and models, put together."""

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
from medfed.storage.database import Database


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages and the API are made of."""

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

    @classmethod
    def open(
        cls,
        folder: Path,
        url: str = "",
        *,
        federation: Path | None = None,
        bcrypt_rounds: int = ROUNDS,
    ) -> "Console":
        """Open a console, and bring its database to this program's revision.

        Args:
            folder: Its folder, see `Place`; made where there is none.
            url: Of its database; the embedded one by default.
            federation: Folder of a coordinator on this machine, where there is one.
            bcrypt_rounds: Work factor of the passwords.

        Raises:
            RunError: The folder or the database cannot be used.
            SiteError: ``federation`` is no coordinator's folder.
        """
        place = Place.open(folder, federation)
        if federation:
            CoordinatorFolder(federation).settings()  # complains here and now
        database = Database(url or place.database_url)
        database.upgrade()
        return cls(
            place,
            database,
            Accounts(database, Passwords(place.pepper, bcrypt_rounds)),
            Studies(database),
            Runs(database, place),
            Models(database, place),
            Releases(database),
            Hospitals(database, place),
            Comparisons(place),
            Results(place),
        )

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()
