"""The record of what people did and were refused."""

import secrets
from datetime import datetime

from sqlalchemy import Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from medfed.storage.database.tables.base import Base
from medfed.storage.database.types import UtcTime, now


def _key() -> str:
    return secrets.token_hex(16)


class AuditRow(Base):
    """One act: who, what, upon what, and whether it was allowed.

    Rows are only ever added; nothing in one changes but how often it was refused within its minute.

    Attributes:
        key: Names it also where it was recorded while the database was away.
        times: How often at least; more than 1 only for refusals, see `medfed.services.refusals`.
    """

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    key: Mapped[str | None] = mapped_column(String(32), unique=True, default=_key)
    at: Mapped[datetime] = mapped_column(UtcTime, default=now, index=True)
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(String(200), default="")
    allowed: Mapped[bool] = mapped_column(default=True)
    reason: Mapped[str] = mapped_column(Text, default="")
    address: Mapped[str] = mapped_column(String(64), default="")
    times: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
