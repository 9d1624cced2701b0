"""What a hospital's console works on: jobs, and the files that people send for them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from medfed.storage.database.tables.base import Base
from medfed.storage.database.types import Json, UtcTime, now


class JobRow(Base):
    """Something that takes long: an import of scans, a prediction.

    Attributes:
        id: Random, since it stands in addresses.
        kind: Which of `medfed.services.hospital.work.HANDLERS` does it.
        state: ``open`` while files are sent for it, then ``queued``, ``running``, and at last
            ``finished`` or ``failed``.
        subject: What it is about, in a few words that name no patient.
        options: What its owner decided.
        attempts: Processes begun for it.
        done: How many things are done.
        total: Of how many; None where nobody knows.
        result: What came of it.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state", "state"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20), default="open")
    owner: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200), default="")
    options: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    attempts: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int | None] = mapped_column()
    result: Mapped[dict[str, Any] | None] = mapped_column(Json)
    message: Mapped[str] = mapped_column(Text, default="")
    remedy: Mapped[str] = mapped_column(Text, default="")
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    started: Mapped[datetime | None] = mapped_column(UtcTime)
    ended: Mapped[datetime | None] = mapped_column(UtcTime)


class UploadRow(Base):
    """One file that is being sent for a job.

    Attributes:
        id: Random, since it stands in addresses.
        name: Where it is to lie in the job's folder, with ``/``; it may name a patient.
        length: Bytes it will have.
        received: Bytes that are on the disk for good.
    """

    __tablename__ = "uploads"
    __table_args__ = (UniqueConstraint("job_id", "name", name="uq_uploads_job_id_name"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    owner: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(1000))
    length: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger, default=0)
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    updated: Mapped[datetime] = mapped_column(UtcTime, default=now)
