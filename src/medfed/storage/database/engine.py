"""One way to the database: sessions that read, sessions that write, and the schema's revision."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy import exc as errors
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from medfed.core.errors import RunError
from medfed.core.vault import OPEN, Vault

BUSY_MS = 30_000
TRANSACTION_POOLER = 6543
"""Port of Supabase's transaction pooler, which forgets prepared statements and LISTEN."""


class Away(RunError):
    """The database cannot be used; why, with its address, is for whoever runs the console."""


class Unstorable(RunError):
    """The database takes no such text: half a character, or on PostgreSQL a NUL."""


class Database:
    """Access to the console's database.

    Attributes:
        as_of: Where the true database is away and a copy is read in its place, the copy's moment.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/NAME``.
        vault: How a file lies on the disk.

    Raises:
        RunError: The URL cannot be used.
    """

    def __init__(self, url: str, vault: Vault = OPEN) -> None:
        self.url = _full_url(url)
        self.as_of: datetime | None = None
        self.on_postgres = self.url.get_backend_name() == "postgresql"
        if self.on_postgres:
            self.engine = _postgres(self.url)
        else:
            self.engine = _sqlite(self.url, vault)
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only looks."""
        with told(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose work is kept whole at the end, or not at all."""
        engine = self.engine.execution_options(medfed_write=True)
        with told(), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def upgrade(self) -> None:
        """Make the tables, or bring them to this program's revision.

        Raises:
            RunError: They were written by a later program.
        """
        current = self.revision()
        config = _alembic(self.engine)
        known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
        if current and current not in known:
            message = "the database was written by a later medfed"
            raise RunError(message, remedy="Install that version")
        with told():
            command.upgrade(config, "head")

    def revision(self, connection: Connection | None = None) -> str | None:
        """Of the tables; None before they are made."""
        if connection is not None:
            found: str | None = MigrationContext.configure(connection).get_current_revision()
            return found
        with told(), self.engine.connect() as connected:
            return self.revision(connected)

    def alive(self) -> bool:
        """Whether it answers."""
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()


def one_at_a_time(session: Session, what: str) -> None:
    """Make transactions about the same thing wait for each other until their end.

    Writers on SQLite do so anyway; on PostgreSQL two could each count what the other changes.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:what))"), {"what": what})


def sqlite_url(file: Path) -> str:
    """The URL of a database in a file."""
    return f"sqlite:///{file}"


def _full_url(url: str) -> URL:
    remedy = "Give sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    try:
        made = make_url(url)
    except ArgumentError:
        raise RunError("the database's URL cannot be read", remedy=remedy) from None
    match made.get_backend_name():
        case "sqlite":
            return made.set(drivername="sqlite+pysqlite")
        case "postgresql" | "postgres":
            return made.set(drivername="postgresql+psycopg")
        case other:
            raise RunError(f"{other} is no database that medfed knows", remedy=remedy)


def _sqlite(url: URL, vault: Vault) -> Engine:
    seconds = BUSY_MS / 1000
    if not vault.sealed:
        return create_engine(url, connect_args={"timeout": seconds})
    file = Path(url.database or "")
    opened = partial(vault.connect, file, seconds, shared=True)
    return create_engine(url, creator=opened, module=vault.sqlite)


def _postgres(url: URL) -> Engine:
    try:
        import psycopg  # noqa: F401  # optional
    except ImportError:
        raise RunError(
            "the driver for PostgreSQL is not installed",
            remedy='Install it: pip install "medfed[postgres]"',
        ) from None
    # A host that is gone without a word is noticed after seconds, also by an old connection.
    options: dict[str, Any] = {"connect_timeout": 5, "tcp_user_timeout": 10_000}
    if url.port == TRANSACTION_POOLER:
        options["prepare_threshold"] = None
    return create_engine(url, pool_pre_ping=True, connect_args=options)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, below
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A plain BEGIN asks for the write lock too late, and two writers fail instead of waiting.
    writes = connection.get_execution_options().get("medfed_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _alembic(engine: Engine) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("medfed.storage.database") / "migrations"))
    config.attributes["engine"] = engine
    return config


@contextmanager
def told() -> Iterator[None]:
    """The database's absence as a sentence, without its password."""
    try:
        yield
    except (OperationalError, errors.InterfaceError, errors.TimeoutError) as error:
        cause = str(getattr(error, "orig", None) or "it does not answer")
        remedy = "Look whether it runs and can be reached, then try again"
        message = f"the database cannot be used: {cause.strip().splitlines()[0]}"
        raise Away(message, remedy=remedy) from error
    except (DataError, UnicodeEncodeError) as error:
        message = "the database cannot take this text"
        raise Unstorable(message, remedy="Remove characters that cannot be seen") from error
