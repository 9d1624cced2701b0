"""A copy of the database that is read while the true one is away.

Nothing in it can be changed but what logging in and out leaves behind: SQLite itself refuses the
rest, whoever asks. Those who logged out and what was recorded are told to the true database later.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import case, delete, event, select, text
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from medfed.storage.database.backup import restore
from medfed.storage.database.engine import Away, Database, sqlite_url
from medfed.storage.database.tables import AuditRow, SessionRow

ENDED = "ended_sessions"
TRIGGER = (
    "CREATE TRIGGER session_ended AFTER DELETE ON sessions "
    "BEGIN INSERT INTO ended_sessions VALUES (old.digest); END"
)
_FREE = {
    sqlite3.SQLITE_INSERT: {"sessions", "lockouts", "audit", ENDED},
    sqlite3.SQLITE_DELETE: {"sessions", "lockouts"},
    sqlite3.SQLITE_UPDATE: {"sessions", "lockouts"},
}
_FIELDS = {
    (sqlite3.SQLITE_UPDATE, "users", "last_login"),
    (sqlite3.SQLITE_UPDATE, "audit", "times"),
}


class Waiting(Away):
    """A change that waits until the database is back."""

    def __init__(self) -> None:
        super().__init__(
            "nothing can be changed while the database is away",
            remedy="Try again when it is back",
        )


class Standby(Database):
    """The copy.

    Args:
        file: Where it is.
        as_of: Its moment.
    """

    def __init__(self, file: Path, as_of: datetime) -> None:
        super().__init__(sqlite_url(file))
        self.file = file
        self.as_of = as_of
        event.listen(self.engine, "connect", _forbid)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that may change what logging in and out changes.

        Raises:
            Waiting: It changed something else.
        """
        try:
            with super().write() as session:
                yield session
        except DatabaseError as error:
            if "not authorized" in str(error.orig):
                raise Waiting from error
            raise


def make_standby(mirror: Path, file: Path) -> None:
    """Make a copy from a mirror, see `medfed.storage.database.backup`."""
    part = file.with_name(f".{file.name}.part")
    for old in part.parent.glob(f"{part.name}*"):
        old.unlink()
    database = Database(sqlite_url(part))
    try:
        restore(database, mirror)
        with database.write() as session:
            session.execute(text(f"CREATE TABLE {ENDED} (digest TEXT NOT NULL)"))
            session.execute(text(TRIGGER))
    finally:
        database.close()
    part.chmod(0o600)
    part.rename(file)


def tell_primary(file: Path, primary: Database) -> None:
    """Tell the true database what happened meanwhile; twice tells nothing new.

    Raises:
        Away: It is away again.
    """
    copy = Database(sqlite_url(file))
    try:
        with copy.read() as session:
            acts = [_fields(row) for row in session.scalars(select(AuditRow)) if row.key]
            ended = list(session.scalars(text("SELECT digest FROM ended_sessions")))
    finally:
        copy.close()
    with primary.write() as session:
        for act in acts:
            session.execute(_unless_there(primary, act))
        session.execute(delete(SessionRow).where(SessionRow.digest.in_(ended)))


def _unless_there(primary: Database, act: dict[str, Any]) -> Any:
    """Add an act; of one that is there already, only how often it was refused may have grown."""
    added = (postgres_insert if primary.on_postgres else sqlite_insert)(AuditRow).values(act)
    more = case((AuditRow.times < act["times"], act["times"]), else_=AuditRow.times)
    return added.on_conflict_do_update(index_elements=["key"], set_={"times": more})


def _fields(row: AuditRow) -> dict[str, Any]:
    columns = AuditRow.__table__.columns
    return {column.name: getattr(row, column.name) for column in columns if column.name != "id"}


def _forbid(connection: Any, _: Any) -> None:
    def decide(action: int, table: str | None, column: str | None, *_: str | None) -> int:
        free = action not in _FREE or table in _FREE[action]
        if free or (action, table, column) in _FIELDS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(decide)
