"""The tables: people, studies and runs, a hospital's jobs, and the record of what was done."""

from medfed.storage.database.tables.audit import AuditRow
from medfed.storage.database.tables.base import Base
from medfed.storage.database.tables.hospital import JobRow, UploadRow
from medfed.storage.database.tables.inferences import (
    AdmittedRow,
    FindingRow,
    InferenceRow,
    ReviewRow,
)
from medfed.storage.database.tables.people import LockoutRow, RoleRow, SessionRow, TokenRow, UserRow
from medfed.storage.database.tables.runs import EventRow, ModelRow, RoundRow, RunRow, SiteRow
from medfed.storage.database.tables.studies import StudyRow

__all__ = [
    "AdmittedRow",
    "AuditRow",
    "Base",
    "EventRow",
    "FindingRow",
    "InferenceRow",
    "JobRow",
    "LockoutRow",
    "ModelRow",
    "ReviewRow",
    "RoleRow",
    "RoundRow",
    "RunRow",
    "SessionRow",
    "SiteRow",
    "StudyRow",
    "TokenRow",
    "UploadRow",
    "UserRow",
]
