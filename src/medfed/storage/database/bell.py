"""Told that something new is in the database: at once on PostgreSQL, by looking on SQLite."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from sqlalchemy import text
from sqlalchemy.orm import Session

from medfed.storage.database.engine import TRANSACTION_POOLER, Away, Database

CHANNEL = "medfed_events"


def ring(session: Session, run: str) -> None:
    """Tell all listeners, once the transaction is kept, that a run has something new."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_notify(:channel, :run)"), {"channel": CHANNEL, "run": run})


class Bell:
    """Waits for the next news.

    Args:
        database: Whose.
        every: Seconds after which to look where nobody can ring.
    """

    def __init__(self, database: Database, every: float = 0.2) -> None:
        self._every = every
        self._connection: Any = None
        # A transaction pooler would take LISTEN and never ring.
        if database.on_postgres and database.url.port != TRANSACTION_POOLER:
            import psycopg

            url = database.url.set(drivername="postgresql")
            with _told():
                self._connection = psycopg.connect(
                    url.render_as_string(hide_password=False), autocommit=True, connect_timeout=5
                )
                self._connection.execute(f"LISTEN {CHANNEL}")

    def wait(self, most: float = 1.0) -> None:
        """Return when there may be something new, or after ``most`` seconds."""
        if self._connection is None:
            time.sleep(min(self._every, most))
            return
        with _told():
            for _ in self._connection.notifies(timeout=most, stop_after=1):
                pass
            for _ in self._connection.notifies(timeout=0):  # one look answers them all
                pass

    def close(self) -> None:
        """Stop listening."""
        if self._connection is not None:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def _told() -> Iterator[None]:
    """The database's absence as a sentence."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        remedy = "Look whether it runs and can be reached"
        raise Away(f"the database cannot be listened to: {error}", remedy=remedy) from error
