"""Released models that a hospital uses: approved there, by digest, and withdrawn."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from medfed.core.errors import DataError
from medfed.core.guideline import guideline_of, is_page
from medfed.core.private_files import content, sha256
from medfed.core.questions import AskingTask, Question
from medfed.core.registry import make, part_from_json
from medfed.services.accounts import Identity, Subject, require
from medfed.services.audit import plain, record
from medfed.services.inference.keeping import vault_of
from medfed.services.inference.place import InferencePlace
from medfed.services.trouble import Conflict, Missing
from medfed.storage.database import Database
from medfed.storage.database.tables import AdmittedRow
from medfed.storage.database.types import now, readable

CARD, CARD_DATA = "model_card.md", "model_card.json"
LONGEST_CARD = 200_000
LONGEST_DATA = 1_000_000
"""Bytes."""


class AdmittedModels:
    """The released models of one hospital.

    Args:
        database: The console's.
        place: Where their files lie.
    """

    def __init__(self, database: Database, place: InferencePlace) -> None:
        self.database = database
        self.place = place

    def admit(
        self,
        by: Identity,
        given: Path,
        *,
        guideline: Mapping[str, str] | None = None,
        sha256: str = "",
    ) -> AdmittedRow:
        """Approve a model for this hospital; its file is copied, and sealed as results are.

        Args:
            by: Who approves it.
            given: A run's folder, or its ``model.safetensors``.
            guideline: ``title`` and ``url`` of the guideline its results are read with; where it
                is empty, that which the model names itself.
            sha256: What the file must be; empty where nobody has said so.

        Raises:
            AccessError: ``by`` may not.
            DataError: It is no model, does not say how it was trained, or cannot be used here.
            Conflict: It is another file.
        """
        require(self.database, by, "model.admit", Subject("a model"))
        return self.enter(by, given, guideline=guideline, sha256=sha256)

    def enter(
        self,
        by: Identity,
        given: Path,
        *,
        guideline: Mapping[str, str] | None = None,
        sha256: str = "",
    ) -> AdmittedRow:
        """The same for whoever has the machine; see `admit`."""
        from medfed.inference.model import ModelIdentity
        from medfed.services.prediction.model_file import open_model

        link = checked_guideline(guideline or {})
        opened = open_model(given)
        if opened.path.suffix != ".safetensors":
            raise DataError(
                f"{opened.path.name} does not say itself how it was trained",
                remedy="Give the run's model.safetensors",
            )
        if sha256 not in ("", opened.sha256):
            message = "the model's file was changed after its run"
            raise Conflict(message, remedy="Do not use it; tell whoever runs the console")
        identity = ModelIdentity.read(opened.about, opened.sha256)
        kind = kind_of(opened.about)
        self.place.models.mkdir(mode=0o700, exist_ok=True)
        blob = content(opened.path)
        vault_of(self.place).write(self.place.model_file(opened.sha256), blob)
        with self.database.write() as session:
            row = session.scalar(select(AdmittedRow).where(AdmittedRow.sha256 == opened.sha256))
            if row is None:
                row = AdmittedRow(sha256=opened.sha256, kind=kind, card="", guideline={})
                session.add(row)
            row.title = plain(identity.title, 300) or opened.sha256[:12]
            row.about = dict(opened.about)
            if given_card := _card(given):
                row.card, row.card_data = given_card
            row.guideline = link or row.guideline or _own_guideline(opened.about)
            row.state, row.approver, row.approved, row.withdrawn = "approved", by.name, now(), None
            session.flush()
            record(session, by, "model.admit", f"model {row.id}", reason=opened.sha256)
        return row

    def withdraw(self, by: Identity, number: int) -> AdmittedRow:
        """Use a model no more; what it found stays.

        Raises:
            AccessError: ``by`` may not.
            Conflict: It is withdrawn already.
        """
        require(self.database, by, "model.admit", Subject(f"model {number}"))
        self.find(number)
        with self.database.write() as session:
            row = session.get_one(AdmittedRow, number, with_for_update=True)
            if row.state != "approved":
                message = "this model is withdrawn already"
                raise Conflict(message, remedy="There is nothing to do")
            row.state, row.withdrawn = "withdrawn", now()
            record(session, by, "model.admit", f"model {number}", reason="withdrawn")
        return row

    def list(self, kind: str = "", *, usable: bool = False) -> Sequence[AdmittedRow]:
        """Models, the latest approved first.

        Args:
            kind: Only of this one, ``scan`` or ``table``.
            usable: Only those that are not withdrawn, here or by the coordinator.
        """
        query = select(AdmittedRow).order_by(AdmittedRow.approved.desc(), AdmittedRow.id.desc())
        if kind:
            query = query.where(AdmittedRow.kind == kind)
        with self.database.read() as session:
            rows = session.scalars(query).all()
        if not usable:
            return rows
        return [row for row in rows if row.usable and not self._stopped_below(row)]

    def find(self, number: int) -> AdmittedRow:
        """One model.

        Raises:
            Missing: There is none of this number.
        """
        with self.database.read() as session:
            row = session.get(AdmittedRow, number)
        if row is None:
            raise Missing("there is no such model", remedy="Look at the list of models")
        return row

    def by_digest(self, sha256: str) -> AdmittedRow | None:
        """The model of this file; None where it was never approved here."""
        with self.database.read() as session:
            return session.scalar(select(AdmittedRow).where(AdmittedRow.sha256 == sha256))

    def usable(self, number: int, kind: str) -> AdmittedRow:
        """One model that may be asked.

        Raises:
            Missing: There is none of this number and kind.
            Conflict: It was withdrawn.
        """
        row = self.find(number)
        if row.kind != kind:
            raise Missing("there is no such model", remedy="Look at the list of models")
        if row.state != "approved":
            message = "this model was withdrawn"
            raise Conflict(message, remedy="Choose another one")
        if row.recalled:
            message = f"the coordinator withdrew this model: {row.recall['reason']}"
            raise Conflict(message, remedy="Choose another one")
        if self._stopped_below(row):
            message = "this model builds on another one, and that one was withdrawn"
            raise Conflict(message, remedy="Choose another one")
        return row

    def _stopped_below(self, row: AdmittedRow) -> bool:
        """Whether the model that this one builds on was withdrawn, here or by the coordinator."""
        query = select(AdmittedRow).where(AdmittedRow.sha256 == builds_on(row.about))
        with self.database.read() as session:
            below = session.scalar(query)
        return below is not None and not below.usable

    def file(self, row: AdmittedRow) -> Path:
        """The file of a model, which is still the one that was approved.

        Raises:
            DataError: It is another, or gone.
        """
        path = self.place.model_file(row.sha256)
        vault_of(self.place)  # it may be sealed
        try:
            same = sha256(path) == row.sha256
        except (OSError, DataError):
            same = False
        if not same:
            message = "the model's file is gone, or another than the one approved"
            raise DataError(message, remedy="Approve the model again, with its file")
        return path

    def questions(self, row: AdmittedRow) -> Sequence[Question]:
        """What the form of a model of a table asks."""
        from medfed.inference.risk import questions_of

        return questions_of(row.about)


def kind_of(about: Mapping[str, Any]) -> str:
    """Whether a model looks at scans or at tables.

    Raises:
        DataError: Neither can be done here.
    """
    from medfed.imaging.prediction import JudgingTask, PredictingTask

    task = make("task", part_from_json(about["task"]))
    if isinstance(task, AskingTask):
        task.questions(dict(about.get("facts", {})))  # complains where there can be no form
        return "table"
    if isinstance(task, (PredictingTask, JudgingTask)):
        return "scan"
    message = f"a model of the task {about['task'].get('name')} cannot be used on single patients"
    remedy = "Give one of nodule-segmentation, nodule-detection or tabular-classification"
    raise DataError(message, remedy=remedy)


def builds_on(about: Mapping[str, Any]) -> str:
    """Digest of the released model that a model asks first; empty where it asks none.

    Read from the task's options as they are: lists of models must not load what runs them.
    """
    return str(about.get("task", {}).get("model", ""))


def checked_guideline(given: Mapping[str, str]) -> dict[str, str]:
    """The title and address of a guideline; empty where none is given.

    Raises:
        DataError: The address is none of a page.
    """
    title, url = plain(given.get("title", "").strip(), 200), given.get("url", "").strip()
    if not url and not title:
        return {}
    if not is_page(url):
        raise DataError(
            "the address of the guideline is none of a page",
            remedy="Write it as https://…, or leave title and address empty",
        )
    return {"title": title or url, "url": url}


def _own_guideline(about: Mapping[str, Any]) -> dict[str, str]:
    named = guideline_of(about)
    return named.to_json() if named else {}


def _card(given: Path) -> tuple[str, dict[str, Any]] | None:
    """The model card beside a model: its text, and what it is told of in other languages.

    What is told must say in English what the text says: else the text counts alone.
    """
    from medfed.services.reports import retell  # slow to load

    folder = given if given.is_dir() else given.parent
    text, data = _beside(folder / CARD, LONGEST_CARD), _told(folder / CARD_DATA)
    english = retell(data) if data else ""
    if not text and not english:
        return None
    return text or english, data if text in ("", english) else {}


def _told(file: Path) -> dict[str, Any]:
    from medfed.services.reports import TOLD

    try:
        data = json.loads(_beside(file, LONGEST_DATA))
    except (ValueError, RecursionError):
        return {}
    told = data.get(TOLD) if isinstance(data, dict) else None
    return told if isinstance(told, dict) else {}


def _beside(file: Path, most: int) -> str:
    """A text beside a model; empty where there is none."""
    try:
        return readable(file.read_bytes()[:most].decode("utf-8", "replace"))
    except OSError:
        return ""
