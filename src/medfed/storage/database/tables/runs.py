"""Runs, what happened in them, and what came of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from medfed.storage.database.tables.base import Base
from medfed.storage.database.types import Figure, Json, UtcTime, now


class RunRow(Base):
    """One execution of a study, or one comparison, as a durable state machine.

    Attributes:
        kind: ``study``, or ``comparison`` of what each hospital could do otherwise; the latter's
            rounds are the runs that it is made of.
        engine: What carries the messages.
        options: What a comparison compares.
        state: ``queued``, ``running``, ``stopped``, ``finished`` or ``failed``.
        wanted: What a person asked for: ``run`` or ``stop``.
        fence: Goes up with each process that takes the run; an earlier one may write no more.
        lease: Until when its process is taken to be alive.
        attempts: Processes begun since a round was last finished.
        round: The last finished round.
    """

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_state", "state"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    title: Mapped[str] = mapped_column(String(300))
    toml: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    sites: Mapped[list[str]] = mapped_column(Json)
    metric: Mapped[str] = mapped_column(String(60))
    kind: Mapped[str] = mapped_column(String(20), default="study")
    engine: Mapped[str] = mapped_column(String(20), default="local")
    options: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    state: Mapped[str] = mapped_column(String(20), default="queued")
    wanted: Mapped[str] = mapped_column(String(10), default="run")
    fence: Mapped[int] = mapped_column(default=0)
    lease: Mapped[datetime | None] = mapped_column(UtcTime)
    attempts: Mapped[int] = mapped_column(default=0)
    rounds: Mapped[int] = mapped_column()
    round: Mapped[int] = mapped_column(default=0)
    bytes_up: Mapped[int] = mapped_column(BigInteger, default=0)
    bytes_down: Mapped[int] = mapped_column(BigInteger, default=0)
    message: Mapped[str] = mapped_column(Text, default="")
    remedy: Mapped[str] = mapped_column(Text, default="")
    starter: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    started: Mapped[datetime | None] = mapped_column(UtcTime)
    ended: Mapped[datetime | None] = mapped_column(UtcTime)


class RoundRow(Base):
    """One round of a run: what it cost, and how its aggregate did once it was scored.

    Attributes:
        site_up: Bytes that came from each site.
        site_down: Bytes that went to each.
        site_change: How each site's change lies to that of all; empty where nobody may know.
    """

    __tablename__ = "rounds"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    finished: Mapped[datetime | None] = mapped_column(UtcTime)
    seconds: Mapped[float | None] = mapped_column(Figure)
    bytes_up: Mapped[int] = mapped_column(BigInteger, default=0)
    bytes_down: Mapped[int] = mapped_column(BigInteger, default=0)
    participants: Mapped[list[str]] = mapped_column(Json, default=list)
    loss: Mapped[float | None] = mapped_column(Figure)
    site_loss: Mapped[dict[str, float | None]] = mapped_column(Json, default=dict)
    site_up: Mapped[dict[str, int]] = mapped_column(Json, default=dict)
    site_down: Mapped[dict[str, int]] = mapped_column(Json, default=dict)
    site_change: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    metrics: Mapped[dict[str, float | None]] = mapped_column(Json, default=dict)
    site_metrics: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)


class EventRow(Base):
    """Something that happened in a run; rows are only ever added.

    Numbers count within a run: its one process writes them in order, whereas the ids that a
    database gives out follow the order of commits only by luck.
    """

    __tablename__ = "events"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    kind: Mapped[str] = mapped_column(String(40))
    body: Mapped[dict[str, Any]] = mapped_column(Json)


class ModelRow(Base):
    """The model of a finished run.

    Attributes:
        withdrawn: Since when nobody may use it any more.
        reason: Why it was withdrawn.
    """

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), unique=True)
    title: Mapped[str] = mapped_column(String(300))
    sha256: Mapped[str] = mapped_column(String(64))
    kept_round: Mapped[int] = mapped_column()
    metrics: Mapped[dict[str, Any]] = mapped_column(Json)
    patients: Mapped[dict[str, int]] = mapped_column(Json)
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    withdrawn: Mapped[datetime | None] = mapped_column(UtcTime)
    withdrawn_by: Mapped[str] = mapped_column(String(64), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    releases: Mapped[list["ReleaseRow"]] = relationship(
        lazy="selectin", order_by="ReleaseRow.site", cascade="all, delete-orphan"
    )


class ReleaseRow(Base):
    """A model approved for use at a hospital."""

    __tablename__ = "releases"

    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), primary_key=True)
    site: Mapped[str] = mapped_column(String(64), primary_key=True)
    by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class SiteRow(Base):
    """A hospital as the runs have met it.

    Attributes:
        bytes_up: That came from it in the rounds of all runs.
        bytes_down: That went to it.
    """

    __tablename__ = "sites"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    first_seen: Mapped[datetime] = mapped_column(UtcTime, default=now)
    last_reply: Mapped[datetime] = mapped_column(UtcTime, default=now)
    last_run: Mapped[str] = mapped_column(String(32))
    replies: Mapped[int] = mapped_column(default=0)
    bytes_up: Mapped[int] = mapped_column(BigInteger, default=0)
    bytes_down: Mapped[int] = mapped_column(BigInteger, default=0)
