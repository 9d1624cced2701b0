"""One console: its database, its people, its studies, runs and models, put together."""

from dataclasses import dataclass
from pathlib import Path

from medfed.services.accounts import Accounts
from medfed.services.accounts.passwords import ROUNDS, Passwords
from medfed.services.console.models import Models
from medfed.services.console.place import Place
from medfed.services.console.runs import Runs
from medfed.services.console.studies import Studies
from medfed.storage.database import Database
from medfed.storage.database.mirrored import Mirrored


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages and the API are made of."""

    place: Place
    database: Database
    accounts: Accounts
    studies: Studies
    runs: Runs
    models: Models

    @classmethod
    def open(cls, folder: Path, url: str = "", *, bcrypt_rounds: int = ROUNDS) -> "Console":
        """Open a console, and bring its database to this program's revision.

        Args:
            folder: Its folder, see `Place`; made where there is none.
            url: Of its database; the embedded one by default.
            bcrypt_rounds: Work factor of the passwords.

        Raises:
            RunError: The folder or the database cannot be used.
        """
        place = Place.open(folder)
        database = Database(url or place.database_url)
        if database.on_postgres:
            database = Mirrored(url, place.path / "mirror")
        database.upgrade()
        return cls(
            place,
            database,
            Accounts(database, Passwords(place.pepper, bcrypt_rounds)),
            Studies(database),
            Runs(database, place),
            Models(database, place),
        )

    def watch(self) -> None:
        """Look after what the pages need while they are served."""
        if isinstance(self.database, Mirrored):
            self.database.watch()

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()
