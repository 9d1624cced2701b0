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
from medfed.storage.database.tables.people import (
    LockoutRow,
    OutsiderRow,
    RoleRow,
    SessionRow,
    TokenRow,
    UserRow,
    user_roles,
)
from medfed.storage.database.tables.runs import (
    EventRow,
    ModelRow,
    ReleaseRow,
    RoundRow,
    RunRow,
    SiteRow,
)
from medfed.storage.database.tables.settings import SettingRow
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
    "OutsiderRow",
    "ReleaseRow",
    "ReviewRow",
    "RoleRow",
    "RoundRow",
    "RunRow",
    "SessionRow",
    "SettingRow",
    "SiteRow",
    "StudyRow",
    "TokenRow",
    "UploadRow",
    "UserRow",
    "user_roles",
]
