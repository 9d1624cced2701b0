"""The tables: people, studies and their runs, and the record of what was done."""

from medfed.storage.database.tables.audit import AuditRow
from medfed.storage.database.tables.base import Base
from medfed.storage.database.tables.people import (
    LockoutRow,
    OutsiderRow,
    RoleRow,
    SessionRow,
    TokenRow,
    UserRow,
)
from medfed.storage.database.tables.runs import EventRow, ModelRow, RoundRow, RunRow, SiteRow
from medfed.storage.database.tables.studies import StudyRow

__all__ = [
    "AuditRow",
    "Base",
    "EventRow",
    "LockoutRow",
    "ModelRow",
    "OutsiderRow",
    "RoleRow",
    "RoundRow",
    "RunRow",
    "SessionRow",
    "SiteRow",
    "StudyRow",
    "TokenRow",
    "UserRow",
]
