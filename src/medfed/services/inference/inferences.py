"""Released models asked about a scan or a patient, each in a process of its own."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from medfed.core.questions import Answer
from medfed.services.accounts import Identity, Subject, require
from medfed.services.audit import record
from medfed.services.hospital.jobs import FAILED, OPEN, Jobs
from medfed.services.imports.place import open_catalogue
from medfed.services.inference.admitted import AdmittedModels
from medfed.services.inference.keeping import vault_of
from medfed.services.inference.place import FOUND, REVIEWED, VIEW, InferencePlace
from medfed.services.trouble import Conflict, Missing
from medfed.storage.catalogue import CataloguedScan
from medfed.storage.database import Database
from medfed.storage.database.tables import AdmittedRow, FindingRow, InferenceRow, JobRow
from medfed.storage.database.types import readable

LOOK, ASSESS, EXPORT, SEND = "look", "assess", "export", "send"


class Inferences:
    """The inferences of one hospital.

    Args:
        database: The console's.
        place: Where their files lie.
        jobs: What takes long.
        models: The models that may be asked.
    """

    def __init__(
        self,
        database: Database,
        place: InferencePlace,
        jobs: Jobs,
        models: AdmittedModels,
    ) -> None:
        self.database = database
        self.place = place
        self.jobs = jobs
        self.models = models

    # --- what a person asks for -------------------------------------------------------------------

    def look(self, by: Identity, model: int, scan: str) -> InferenceRow:
        """Ask a model about a scan of the catalogue.

        Raises:
            AccessError: ``by`` may not.
            Missing: There is no such model or scan.
            Conflict: The model was withdrawn.
        """
        require(self.database, by, "inference.run", Subject(f"model {model}"))
        admitted = self.models.usable(model, "scan")
        found, _path = self.scan(scan)
        return self._begin(by, admitted, LOOK, scan=found.scan, patient=found.patient)

    def assess(self, by: Identity, model: int, answers: Mapping[str, Answer]) -> InferenceRow:
        """Ask a model about a patient, by a form.

        Raises:
            AccessError: ``by`` may not.
            Missing: There is no such model.
            DataError: An answer is none to its question.
        """
        require(self.database, by, "inference.run", Subject(f"model {model}"))
        from medfed.inference.risk import checked

        admitted = self.models.usable(model, "table")
        questions = self.models.questions(admitted)
        given = {q.name: checked(q, answers.get(q.name)) for q in questions}
        return self._begin(by, admitted, ASSESS, given=given)

    def again(self, by: Identity, inference: str) -> JobRow:
        """Try once more what failed.

        Raises:
            AccessError: ``by`` may not.
            Conflict: It did not fail, or was to be made from a review that is open again.
        """
        require(self.database, by, "inference.run", Subject(f"inference {inference}"))
        row = self.find(inference)
        job = self.job(row)
        if job is None or job.state != FAILED:
            raise Conflict("this has not failed", remedy="Load the page again")
        if job.kind == EXPORT:
            refuse_unsigned(row)
        return self.jobs.queue(by, job.id)

    def queue(
        self, by: Identity, inference: str, kind: str, *, action: str, **options: Any
    ) -> JobRow:
        """Have a further piece of work done on an inference, when the one before is over.

        Raises:
            AccessError: ``by`` may not.
            Conflict: Something is at work on it.
        """
        subject = f"inference {inference}"
        before = self.job(self.find(inference))
        if before is not None and before.state in ("queued", "running"):
            raise Conflict("this inference is being worked on", remedy="Wait until that has ended")
        job = self.jobs.make(
            by,
            kind,
            {"inference": inference, **options},
            action=action,
            subject=subject,
            state=OPEN,
        )
        with self.database.write() as session:
            row = session.get_one(InferenceRow, inference, with_for_update=True)
            if before is not None and row.job != before.id:
                message = "this inference is being worked on"
                raise Conflict(message, remedy="Wait until that has ended")
            row.job = job.id
        return self.jobs.queue(by, job.id)

    def _begin(self, by: Identity, model: AdmittedRow, kind: str, **about: Any) -> InferenceRow:
        number = secrets.token_hex(8)
        row = InferenceRow(
            id=number, model_id=model.id, kind=model.kind, starter=by.name, job="", **about
        )
        with self.database.write() as session:
            session.add(row)
            record(session, by, "inference.run", f"inference {number}", reason=f"model {model.id}")
        self.queue(by, number, kind, action="inference.run")
        return self.find(number)

    # --- what a person looks at -------------------------------------------------------------------

    def find(self, inference: str) -> InferenceRow:
        """One inference.

        Raises:
            Missing: There is none of this id.
        """
        with self.database.read() as session:
            row = session.get(InferenceRow, inference)
        if row is None:
            raise Missing("there is no such inference", remedy="Look at the list")
        return row

    def list(
        self, *, scan: str = "", offset: int = 0, limit: int = 25
    ) -> tuple[Sequence[InferenceRow], int]:
        """Inferences, the latest first, and how many there are in all."""
        query = select(InferenceRow)
        if scan:
            query = query.where(InferenceRow.scan == scan)
        page = query.order_by(InferenceRow.created.desc(), InferenceRow.id)
        with self.database.read() as session:
            count = session.scalar(select(func.count()).select_from(query.subquery())) or 0
            return session.scalars(page.offset(offset).limit(limit)).all(), count

    def to_review(self) -> int:
        """How many scans a model has looked at that nobody signed yet."""
        query = select(func.count(InferenceRow.id)).where(
            InferenceRow.kind == "scan", InferenceRow.signed.is_(None), InferenceRow.result != {}
        )
        with self.database.read() as session:
            return session.scalar(query) or 0

    def job(self, row: InferenceRow) -> JobRow | None:
        """The latest piece of work on an inference."""
        with self.database.read() as session:
            return session.get(JobRow, row.job)

    def findings(self, inference: str) -> Sequence[FindingRow]:
        """What the model found, in its order."""
        query = select(FindingRow).where(FindingRow.inference_id == inference)
        with self.database.read() as session:
            return session.scalars(query.order_by(FindingRow.number)).all()

    def scan(self, name: str) -> tuple[CataloguedScan, Path]:
        """A scan of the hospital's catalogue, and where it is read from.

        Raises:
            Missing: There is none of this name.
        """
        with open_catalogue(self.place.site) as (patients, catalogue):
            found = catalogue.find(readable(name)) if catalogue else None
        if found is None:
            raise Missing("there is no such scan", remedy="Look at the hospital's data")
        folder = patients / found.patient / found.scan
        return found, folder / ("ct" if found.form == "DICOM" else "ct.mhd")

    def file(self, inference: str, part: str, name: str) -> tuple[Path, str]:
        """A file that is offered, and its type.

        Args:
            inference: Whose.
            part: ``found``, ``reviewed`` or ``view``.
            name: Of the file.

        Raises:
            Missing: It is not there, or none that is offered.
        """
        row = self.find(inference)
        vault_of(self.place)  # whoever reads the file finds it opened
        offered = {"found": FOUND, "reviewed": REVIEWED, "view": VIEW}.get(part, {})
        folder = self.place.reviewed(row.id) if part == "reviewed" else self.place.found(row.id)
        path = folder / name
        unsigned = part == "reviewed" and (row.signed is None or not row.exported)
        if name not in offered or unsigned or not path.is_file():
            raise Missing("there is no such file", remedy="Look at what the page offers")
        return path, offered[name]

    def files(self, row: InferenceRow, part: str) -> Sequence[str]:
        """Names of what is offered."""
        offered = {"found": FOUND, "reviewed": REVIEWED}[part]
        if part == "reviewed" and (row.signed is None or not row.exported):
            return []
        folder = self.place.reviewed(row.id) if part == "reviewed" else self.place.found(row.id)
        return [name for name in offered if (folder / name).is_file()]


def refuse_unsigned(row: InferenceRow) -> None:
    """Complain about a review that nobody has signed.

    Raises:
        Conflict: Nobody has.
    """
    if row.signed is None:
        raise Conflict("this review is not signed", remedy="Review all findings, then sign")
