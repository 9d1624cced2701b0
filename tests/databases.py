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


class Postgres:
    """A PostgreSQL of the tests' own, on loopback, that can be stopped and started."""

    def __init__(self, place: Path) -> None:
        self.place, self.port = place, free_port()
        self.url = f"postgresql://medfed@127.0.0.1:{self.port}"
        self._other = {"user": OWNER, "group": OWNER} if os.geteuid() == 0 else {}
        if self._other:
            shutil.chown(place, OWNER, OWNER)
        self._call("initdb", "-U", "medfed", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        where = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={self.place}"
        options = f"-p {self.port} {where}"
        self._call("pg_ctl", "-w", "-l", self.place / "log", "-o", options, "start")

    def stop(self) -> None:
        """Stop it as a power cut does."""
        self._call("pg_ctl", "-w", "-m", "immediate", "stop")

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return (self.place / "data" / "postmaster.pid").exists()

    def _call(self, program: str, *arguments: object) -> None:
        binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
        command = [binaries / program, "-D", self.place / "data", *map(str, arguments)]
        subprocess.run(
            command,
            check=True,
            cwd=self.place,
            stdout=subprocess.DEVNULL,
            timeout=60,
            **self._other,
        )


@contextmanager
def postgres_of_its_own() -> Iterator[Postgres]:
    """A PostgreSQL that a test may stop; its databases can be made from the template."""
    place = Path(tempfile.mkdtemp(prefix="medfed-postgres-"))
    try:
        server = Postgres(place)
        server.start()
        _make_template(server.url)
        yield server
        if server.running:
            server.stop()
    finally:
        shutil.rmtree(place)


@contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL of the tests' own; gives its URL without a database."""
    with postgres_of_its_own() as server:
        yield server.url


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


@contextmanager
def away(*several: Database):
    """The database lets nobody in; whoever is in is thrown out."""
    name = several[0].url.database
    server = f"postgresql://medfed@127.0.0.1:{several[0].url.port}"
    _tell(server, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    terminate = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    _tell(server, terminate)
    yield
    _tell(server, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
