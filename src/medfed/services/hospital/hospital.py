"""One hospital, as its console sees it."""

from dataclasses import dataclass
from pathlib import Path

from medfed.federation.site_folder import SiteFolder
from medfed.services.hospital.imports import Imports
from medfed.services.hospital.jobs import Jobs
from medfed.services.hospital.participation import Participation
from medfed.services.hospital.privacy import Privacy
from medfed.services.hospital.receipts import Receipts
from medfed.services.hospital.rehearsed import RehearsedReceipts
from medfed.services.hospital.scans import Scans
from medfed.services.hospital.tables import Tables
from medfed.services.hospital.uploads import Uploads
from medfed.services.viewing.views import Views
from medfed.storage.database import Database


@dataclass(frozen=True, slots=True)
class Hospital:
    """What the pages of a hospital's face are made of.

    Attributes:
        name: The site's name.
        site: Its own folder, with its ``site.toml``.
        jobs: What takes long.
        uploads: Files that are being sent.
        imports: What is taken in.
        scans: Its catalogue.
        tables: Its tables.
        participation: Studies that ask for its part, and those that it approved.
        receipts: What left it.
        privacy: What was spent of its patients' privacy.
    """

    name: str
    site: Path
    jobs: Jobs
    uploads: Uploads
    imports: Imports
    scans: Scans
    tables: Tables
    participation: Participation
    receipts: Receipts
    privacy: Privacy

    @classmethod
    def open(
        cls, site: Path, database: Database, console: Path, rehearsed: Path | None = None
    ) -> "Hospital":
        """Look whose folder it is.

        Args:
            site: The site's own folder.
            database: The console's.
            console: The console's folder, where what the console makes of the data lies.
            rehearsed: Folder of runs on this machine that make sites for the hospital.

        Raises:
            SiteError: It is no site's folder.
        """
        settings = SiteFolder(site).settings()
        here = site.resolve()
        jobs = Jobs(database, console)
        uploads = Uploads(database, jobs, here)
        return cls(
            settings.name,
            here,
            jobs,
            uploads,
            Imports(jobs, uploads),
            Scans(here, database, Views(console, here)),
            Tables(here, database),
            Participation(here, database, console),
            RehearsedReceipts(here, rehearsed) if rehearsed else Receipts(here),
            Privacy(here, database),
        )
