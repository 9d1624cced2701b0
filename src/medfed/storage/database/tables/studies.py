"""Studies as people write them."""

from datetime import datetime

from sqlalchemy import Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from medfed.storage.database.tables.base import Base
from medfed.storage.database.types import UtcTime, now


class StudyRow(Base):
    """A study: its text, and whether its present text is approved.

    Attributes:
        digest: Of the study that the text describes.
        state: ``draft`` or ``approved``; an edit makes it a draft again.
        version: Goes up by one with each edit, so that nobody overwrites another's unseen.
    """

    __tablename__ = "studies"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    title: Mapped[str] = mapped_column(String(300))
    question: Mapped[str] = mapped_column(Text, default="")
    toml: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20), default="draft")
    version: Mapped[int] = mapped_column(default=1)
    author: Mapped[str] = mapped_column(String(64))
    approver: Mapped[str] = mapped_column(String(64), default="")
    created: Mapped[datetime] = mapped_column(UtcTime, default=now)
    updated: Mapped[datetime] = mapped_column(UtcTime, default=now)
