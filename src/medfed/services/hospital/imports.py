"""Imports that people ask for in a browser: files are sent, then taken into the catalogue."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, get_args

from medfed.services.accounts import Identity, Subject, require
from medfed.services.audit import plain
from medfed.services.hospital.jobs import FAILED, FINISHED, OPEN
from medfed.services.hospital.uploads import ACTION
from medfed.services.imports.importing import ImportOptions
from medfed.services.imports.units import VOLUME_ENDINGS, Naming
from medfed.services.trouble import Conflict, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medfed.services.hospital.jobs import Jobs
    from medfed.services.hospital.uploads import Uploads
    from medfed.storage.database.tables import JobRow

KIND = "import"
LONGEST_PATIENT = 64


@dataclass(frozen=True, slots=True)
class Imports:
    """The imports of one hospital.

    Attributes:
        jobs: What each of them is.
        uploads: Their files.
    """

    jobs: Jobs
    uploads: Uploads

    def begin(self, by: Identity, options: Mapping[str, Any]) -> JobRow:
        """Open an import, for files to be sent.

        Args:
            by: Who.
            options: Those of `ImportOptions`; what is missing has its default.

        Raises:
            AccessError: ``by`` may not.
            Refused: An option makes no sense.
        """
        chosen = asdict(_options(options))
        return self.jobs.make(by, KIND, chosen, action=ACTION, state=OPEN)

    def start(self, by: Identity, job: str) -> JobRow:
        """Take in what was sent.

        Raises:
            Missing: There is no such import of theirs.
            Conflict: Files are not whole yet, or it has begun.
            Refused: There are none, or they do not say whose they are.
        """
        row = self.jobs.find(job, KIND, owner=by.name)
        require(self.jobs.database, by, ACTION, Subject(f"{KIND} {job}", row.owner))
        files = self.uploads.of_job(job)
        if not files:
            raise Refused("no file was sent", remedy="Choose files first")
        if any(one.received != one.length for one in files):
            raise Conflict("a file is not whole yet", remedy="Send the rest first")
        by_folder = row.options["naming"] != "file" and not row.options["patient"]
        if by_folder and any(_lies_loose(one.name) for one in files):
            remedy = "Say that files are called like their patients, or whose they are"
            raise Refused("a volume lies in no folder that could name its patient", remedy=remedy)
        return self.jobs.queue(by, job)

    def again(self, by: Identity, job: str, *, accept_doubts: bool) -> JobRow:
        """Import once more what an import refused; its files are still there.

        Raises:
            Missing: There is no such import of theirs.
            Conflict: It is at work, or its files are gone.
        """
        row = self.jobs.find(job, KIND, owner=by.name)
        require(self.jobs.database, by, ACTION, Subject(f"{KIND} {job}", row.owner))
        if row.state not in (FAILED, FINISHED) or not self.jobs.folder(job).exists():
            raise Conflict("there is nothing to import again", remedy="Send the files again")
        options = {"accept_doubts": accept_doubts or row.options["accept_doubts"]}
        return self.jobs.queue(by, job, options)

    def drop(self, by: Identity, job: str) -> None:
        """Remove the files of an import, and forget it.

        Raises:
            Missing: There is no such import of theirs.
            Conflict: It is at work.
        """
        row = self.jobs.find(job, KIND, owner=by.name)
        require(self.jobs.database, by, ACTION, Subject(f"{KIND} {job}", row.owner))
        self.jobs.drop(by, job)


def _options(given: Mapping[str, Any]) -> ImportOptions:
    patient = plain(str(given.get("patient") or "").strip(), LONGEST_PATIENT) or None
    naming: Naming = given.get("naming", "file")
    if naming not in get_args(Naming):
        known = ", ".join(get_args(Naming))
        raise Refused("this names no patient", remedy=f"Choose among: {known}")
    flags = {
        name: bool(given.get(name))
        for name in ("keep_characteristics", "keep_links", "accept_doubts")
    }
    return ImportOptions(patient=patient, naming=naming, **flags)


def _lies_loose(name: str) -> bool:
    return "/" not in name and name.lower().endswith(VOLUME_ENDINGS)
