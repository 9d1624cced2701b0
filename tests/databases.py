"""Databases of the tests: SQLite in a file, and a PostgreSQL that the tests start themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.enrolling import free_port
from sqlalchemy import NullPool, create_engine, text

from medfed.storage.database import Database

OWNER, TEMPLATE = "postgres", "medfed_template"
"""PostgreSQL does not start as root; Debian's package makes this user."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL of the tests' own, on loopback; gives its URL without a database."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
    place = Path(tempfile.mkdtemp(prefix="medfed-postgres-"))
    other = {"user": OWNER, "group": OWNER} if os.geteuid() == 0 else {}
    if other:
        shutil.chown(place, OWNER, OWNER)
    port, data = free_port(), place / "data"

    def call(program: str, *arguments: object) -> None:
        command = [binaries / program, "-D", data, *map(str, arguments)]
        subprocess.run(
            command, check=True, cwd=place, stdout=subprocess.DEVNULL, timeout=60, **other
        )

    try:
        call("initdb", "-U", "medfed", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={place}"
        call("pg_ctl", "-w", "-l", place / "log", "-o", options, "start")
        server = f"postgresql://medfed@127.0.0.1:{port}"
        _make_template(server)
        yield server
    finally:
        if (data / "postmaster.pid").exists():
            call("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(place)


@contextmanager
def postgres_database(server: str) -> Iterator[str]:
    """A fresh database there with its tables made; gives its URL."""
    name = f"t{uuid.uuid4().hex[:12]}"
    _tell(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    try:
        yield f"{server}/{name}"
    finally:
        _tell(server, f"DROP DATABASE {name} WITH (FORCE)")


def _make_template(server: str) -> None:
    """A database that is copied for each test, in a twentieth of the time."""
    _tell(server, f"CREATE DATABASE {TEMPLATE}")
    with opened(f"{server}/{TEMPLATE}"):
        pass


def _tell(server: str, command: str) -> None:
    url = server.replace("postgresql://", "postgresql+psycopg://") + "/postgres"
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(command))


@contextmanager
def opened(url: str, *, upgrade: bool = True) -> Iterator[Database]:
    """The database, with its tables made."""
    database = Database(url)
    try:
        if upgrade:
            database.upgrade()
        yield database
    finally:
        database.close()
