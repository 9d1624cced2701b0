"""The consoles' database: SQLite in one file by default, PostgreSQL by one URL."""

from medfed.storage.database.engine import Database

__all__ = ["Database"]
