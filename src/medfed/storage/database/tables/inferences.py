"""Models used at a hospital, what they said of its patients, and what people said to that."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from medfed.storage.database.tables.base import Base
from medfed.storage.database.types import Json, UtcTime, now


class AdmittedRow(Base):
    """A released model that this hospital uses, or has used.

    Attributes:
        kind: ``scan`` or ``table``: what it looks at.
        about: What its file says of itself: study, task with options, facts, notices.
        card: The model card that came with it, in English.
        card_data: What the card is told of in other languages; empty where only text came.
        guideline: Title and address of the guideline that its results are read with; or empty.
        state: ``approved`` or ``withdrawn``.
        recall: What the coordinator last said of it, see `medfed.services.inference.recall`; empty
            until it was asked.
    """

    __tablename__ = "admitted_models"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(10))
    title: Mapped[str] = mapped_column(String(300))
    about: Mapped[dict[str, Any]] = mapped_column(Json)
    card: Mapped[str] = mapped_column(Text, default="")
    card_data: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    guideline: Mapped[dict[str, str]] = mapped_column(Json, default=dict)
    state: Mapped[str] = mapped_column(String(20), default="approved")
    approver: Mapped[str] = mapped_column(String(64))
    approved: Mapped[datetime] = mapped_column(UtcTime, default=now)
    withdrawn: Mapped[datetime | None] = mapped_column(UtcTime)
    recall: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)

    @property
    def recalled(self) -> bool:
        """Whether the coordinator withdrew it, as far as this hospital was told."""
        return bool(self.recall.get("state") == "withdrawn")

    @property
    def usable(self) -> bool:
        """Whether it may be asked: approved here, and not withdrawn anywhere."""
        return self.state == "approved" and not self.recalled


class InferenceRow(Base):
    """A model asked about one scan or one patient.

    Attributes:
        scan: The scan's name in the catalogue; empty where a form was filled in.
        patient: The patient's pseudonym; empty where none is known.
        given: What was filled in.
        job: The latest piece of work on it.
        result: ``findings.json``, or the risk with its explanation; empty until there is one.
        signer: Who confirmed what is to be handed on.
        signer_name: What they were called then.
        signed: When; None while it is open.
        exported: What was made to be handed on, by file; empty until there is any.
        sent: To which PACS, by whom, when, how many objects.
    """

    __tablename__ = "inferences"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("admitted_models.id"), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    scan: Mapped[str] = mapped_column(String(64), default="", index=True)
    patient: Mapped[str] = mapped_column(String(64), default="")
    given: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    job: Mapped[str] = mapped_column(String(32), default="")
    result: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    starter: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(UtcTime, default=now, index=True)
    signer: Mapped[str] = mapped_column(String(64), default="")
    signer_name: Mapped[str] = mapped_column(String(120), default="")
    signed: Mapped[datetime | None] = mapped_column(UtcTime)
    exported: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    sent: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)


class FindingRow(Base):
    """One finding as the model has it; it is never changed."""

    __tablename__ = "findings"

    inference_id: Mapped[str] = mapped_column(ForeignKey("inferences.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    body: Mapped[dict[str, Any]] = mapped_column(Json)


class ReviewRow(Base):
    """What a person said of a finding; the latest counts, and none is ever changed.

    Attributes:
        verdict: ``accepted``, ``corrected`` or ``rejected``.
        changes: What was corrected: ``diameter_mm``, ``centre_mm``, ``attenuation``.
    """

    __tablename__ = "reviews"
    __table_args__ = (Index("ix_reviews_finding", "inference_id", "number"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    inference_id: Mapped[str] = mapped_column(ForeignKey("inferences.id"))
    number: Mapped[int] = mapped_column(Integer)
    verdict: Mapped[str] = mapped_column(String(20))
    changes: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    comment: Mapped[str] = mapped_column(Text, default="")
    reviewer: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)
