"""What an administrator set while the console ran."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from medfed.storage.database.tables.base import Base
from medfed.storage.database.types import Json


class SettingRow(Base):
    """One value that is another than the program's own; see `medfed.services.preferences`."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[Any] = mapped_column(Json)
