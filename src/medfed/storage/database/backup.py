"""A database as plain files: JSON lines of each table, and a manifest that vouches for them.

::

    manifest.json       format, revision of the tables, moment, rows and SHA-256 of each file
    TABLE.jsonl.gz      one row a line

What lets somebody in (sessions, tokens) stays out; passwords are hashes under a pepper that is not
in the database.
"""

import gzip
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, insert, select, text
from sqlalchemy.types import Integer

from medfed.core.errors import DataError, RunError
from medfed.core.files import sync, write_json
from medfed.storage.database.engine import Database, told
from medfed.storage.database.tables import Base
from medfed.storage.database.types import UtcTime, finite, now

FORMAT = 1
MANIFEST = "manifest.json"
NEVER = frozenset({"sessions", "tokens", "lockouts"})
"""Tables that no backup holds."""
AT_A_TIME = 500


def back_up(
    database: Database,
    target: Path,
    *,
    leave_out: Collection[str] = NEVER,
    only: Mapping[str, ColumnElement[bool]] | None = None,
) -> dict[str, Any]:
    """Write all tables as they are at one moment; other people may go on working.

    Args:
        database: Whose.
        target: The folder to make; it takes its name when all of it is on the disk.
        leave_out: Tables to leave out.
        only: For a table, which of its rows.

    Returns:
        The manifest.

    Raises:
        RunError: There is something of this name, or the database is away.
        OSError: The disk is full or refuses.
    """
    if target.exists():
        raise RunError(f"there is something at {target}", remedy="Name a folder that is not there")
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    part.mkdir(parents=True, mode=0o700)
    try:
        manifest = _write_tables(database, part, leave_out, only or {})
        write_json(part / MANIFEST, manifest)
        (part / MANIFEST).chmod(0o600)
        sync(part)
        part.rename(target)
        sync(target.parent)
    except BaseException:  # also Ctrl-C: half a backup is none
        shutil.rmtree(part, ignore_errors=True)
        raise
    return manifest


def read_manifest(source: Path) -> dict[str, Any]:
    """What a backup says about itself, once each of its files is found to be whole.

    Raises:
        DataError: It is none, is damaged, or of a later program.
    """
    remedy = "Take another backup"
    try:
        manifest = dict(json.loads((source / MANIFEST).read_bytes()))
        tables = {name: (each["rows"], each["sha256"]) for name, each in manifest["tables"].items()}
        format_, _ = manifest["format"], datetime.fromisoformat(manifest["at"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{source} is not a backup that can be read", remedy=remedy) from error
    if format_ != FORMAT:
        raise DataError(f"{source} was written by a later medfed", remedy="Install that version")
    for name, (_, digest) in tables.items():
        file = _file(source, name)
        if name not in Base.metadata.tables or not file.is_file() or _sha256(file) != digest:
            raise DataError(f"{file} is missing or damaged", remedy=remedy)
    return manifest


def restore(database: Database, source: Path) -> dict[str, Any]:
    """Fill an empty database from a backup, all of it or nothing.

    Args:
        database: A database without a row; its tables are made where there are none.
        source: The backup's folder.

    Returns:
        The manifest.

    Raises:
        DataError: The backup is damaged, or its tables are of another revision.
        RunError: The database is not empty, or is away.
    """
    manifest = read_manifest(source)
    database.upgrade()
    if (here := database.revision()) != manifest["revision"]:
        message = f"the backup has tables of revision {manifest['revision']}, this program {here}"
        remedy = "Restore it with the medfed that wrote it, then install this one"
        raise DataError(message, remedy=remedy)
    engine = database.engine.execution_options(medfed_write=True)
    with told(), engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            if connection.execute(select(table).limit(1)).first() is not None:
                message = f"the database is not empty: there are rows in {table.name}"
                raise RunError(message, remedy="Restore into a new one, before the first start")
        for table in _tables(manifest["tables"]):
            wanted = manifest["tables"][table.name]["rows"]
            if _fill(connection, table, _rows(_file(source, table.name), table)) != wanted:
                raise DataError(f"rows of {table.name} are missing", remedy="Take another backup")
    return manifest


def _write_tables(
    database: Database,
    folder: Path,
    leave_out: Collection[str],
    only: Mapping[str, ColumnElement[bool]],
) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    with _at_one_moment(database) as connection:
        moment = now()
        revision = database.revision(connection)
        for table in Base.metadata.sorted_tables:
            if table.name in leave_out:
                continue
            query = select(table).order_by(*table.primary_key.columns)
            if table.name in only:
                query = query.where(only[table.name])
            found = connection.execution_options(yield_per=AT_A_TIME).execute(query)
            file = _file(folder, table.name)
            rows = _write_lines(file, (_plain(row._asdict()) for row in found))
            tables[table.name] = {"rows": rows, "sha256": _sha256(file)}
    return {"format": FORMAT, "revision": revision, "at": moment.isoformat(), "tables": tables}


@contextmanager
def _at_one_moment(database: Database) -> Iterator[Connection]:
    """A connection that sees nothing of what others do meanwhile."""
    engine = database.engine
    if database.on_postgres:
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with told(), engine.connect() as connection, connection.begin():
        yield connection


def _write_lines(file: Path, rows: Iterable[dict[str, Any]]) -> int:
    count = 0
    handle = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as raw:
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed:
            for row in rows:
                packed.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
                count += 1
        raw.flush()
        os.fsync(raw.fileno())
    return count


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: v.isoformat() if isinstance(v, datetime) else v for key, v in row.items()}
    plain: dict[str, Any] = finite(values)
    return plain


def _rows(file: Path, table: Table) -> Iterator[dict[str, Any]]:
    moments = [column.name for column in table.columns if isinstance(column.type, UtcTime)]
    try:
        with gzip.open(file, "rb") as lines:
            for line in lines:
                row = json.loads(line)
                for name in moments:
                    row[name] = datetime.fromisoformat(row[name]) if row[name] else None
                yield row
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{file} is damaged", remedy="Take another backup") from error


def _fill(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> int:
    count, left = 0, iter(rows)
    while some := list(islice(left, AT_A_TIME)):
        connection.execute(insert(table), some)
        count += len(some)
    if count and connection.dialect.name == "postgresql":
        _count_on(connection, table)
    return count


def _count_on(connection: Connection, table: Table) -> None:
    """Have PostgreSQL give the next row a number after the largest."""
    for column in table.primary_key.columns:
        if column is table.autoincrement_column and isinstance(column.type, Integer):
            last = connection.scalar(select(func.max(column)))
            sequence = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
            about = {"table": table.name, "column": column.name, "last": last}
            connection.execute(sequence, about)


def _tables(names: Collection[str]) -> list[Table]:
    return [table for table in Base.metadata.sorted_tables if table.name in names]


def _file(folder: Path, table: str) -> Path:
    return folder / f"{table}.jsonl.gz"


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
