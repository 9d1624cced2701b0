"""A ledger's file: one state for whoever reads, one transaction for whoever writes, its forms.

In an encrypted folder the whole file is encrypted, and so is SQLite's log beside it. A head beside
it says how far it had come: a ledger that holds less is not used; see `medfed.storage.ledger_head`.
"""

from __future__ import annotations

import os
import secrets
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from medfed.core.errors import SiteError
from medfed.core.files import sync
from medfed.storage import ledger_head as heads

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from medfed.core.vault import Vault
    from medfed.storage.ledger_limits import Limits

SCHEMA = 4
"""The form whose limits its head covers; older ones come to it when they are next written."""
HEADLESS = 1
"""The form before ledgers had heads."""
BUSY_SECONDS = 30.0

TABLES = """
CREATE TABLE secret (key BLOB NOT NULL);
CREATE TABLE cohorts (cohort TEXT NOT NULL, member BLOB NOT NULL, PRIMARY KEY (cohort, member));
CREATE TABLE entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL,
    study TEXT NOT NULL,
    title TEXT NOT NULL,
    run TEXT NOT NULL,
    run_order TEXT NOT NULL,
    round INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    unit TEXT NOT NULL,
    source TEXT NOT NULL,
    cohort TEXT NOT NULL,
    answers TEXT NOT NULL
);
"""


class LedgerFile:
    """Where a ledger lies.

    Args:
        path: The file; made when something is first written.
        vault: How it lies on the disk.
        limits: What it allows, for ledgers that are begun or come from an older medfed.
    """

    def __init__(self, path: Path, vault: Vault, limits: Limits) -> None:
        self.path = path
        self.vault = vault
        self.limits = limits

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction with no other beside it, durable when it is left without an error."""
        with self.open() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                head = heads.kept(self.path, self.vault)
                self._checked(db, head)
                self._prepare(db, head)
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
            self.keep_head(db)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """One state of the ledger; None before anything was written into it."""
        head = heads.kept(self.path, self.vault)  # first: the ledger may grow, and the head too
        if not self.path.exists():
            heads.check(self.path, None, head, covers_limits=False)
            yield None
            return
        with self.open() as db:
            db.execute("BEGIN")
            # A site killed at its very first entry leaves a file without tables.
            yield db if self._checked(db, head) else None
            db.execute("ROLLBACK")

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """The file, made if there is none; without a transaction.

        Raises:
            SiteError: It cannot be used.
        """
        try:
            if not self.path.exists():
                head = heads.kept(self.path, self.vault)
                heads.check(self.path, None, head, covers_limits=False)
                _make(self.path)
            with closing(self.vault.connect(self.path, BUSY_SECONDS)) as db:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                yield db
        except (OSError, self.vault.sqlite.Error) as error:
            remedy = "Nothing is answered without it: mend the disk, or bring the file back"
            message = f"the ledger {self.path} cannot be used: {error}"
            raise SiteError(message, remedy=remedy) from None

    def keep_head(self, db: sqlite3.Connection) -> None:
        """Write the head, with the ledger held: two writers must not bring an older one back."""
        db.execute("BEGIN IMMEDIATE")
        try:
            heads.keep(self.path, self.vault, heads.head_of(db))
        finally:
            db.execute("ROLLBACK")

    def _prepare(self, db: sqlite3.Connection, head: heads.Head | None) -> None:
        version = _check_schema(db)
        if version == SCHEMA:
            if (now := heads.head_of(db)) != head:  # a kill or a full disk left it behind
                heads.keep(self.path, self.vault, now)
            return
        if version:
            heads.keep(self.path, self.vault, heads.head_of(db, covers_limits=False))
            self.limits.migrate(db)
        else:
            heads.keep(self.path, self.vault, heads.Head())
            _make_tables(db)
            self.limits.begin(db)
        db.execute(f"PRAGMA user_version = {SCHEMA}")

    def _checked(self, db: sqlite3.Connection, head: heads.Head | None) -> bool:
        """Whether the ledger has tables; and it holds what it must."""
        version = _check_schema(db)
        covers = version == SCHEMA
        if head is None or (covers and head.limits < 0):
            head = heads.kept(self.path, self.vault)  # somebody may have brought it to this form
        if version > HEADLESS:
            heads.check_missing(self.path, head)
        heads.check(self.path, db if version else None, head, covers_limits=covers)
        return bool(version)


def _make(path: Path) -> None:
    """An empty file for its owner only, whose name is durable too."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    sync(path.parent)


def _make_tables(db: sqlite3.Connection) -> None:
    for statement in TABLES.split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute("INSERT INTO secret VALUES (?)", (secrets.token_bytes(32),))


def _check_schema(db: sqlite3.Connection) -> int:
    found = int(db.execute("PRAGMA user_version").fetchone()[0])
    if not 0 <= found <= SCHEMA:
        message = f"the ledger has form {found} and this medfed knows {SCHEMA}"
        raise SiteError(message, remedy="Use the newer medfed that wrote it")
    return found
