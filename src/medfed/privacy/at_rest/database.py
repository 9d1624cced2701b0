"""SQLite databases that are encrypted page by page, by SQLCipher.

Each page, also in the write-ahead log, is encrypted with AES-256-CBC under a random vector and
authenticated with HMAC-SHA512. What SQLite promises of transactions and kills holds as before.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, cast

import sqlcipher3.dbapi2 as sqlcipher

from medfed.core.files import sync

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = b"SQLite format 3\x00"
"""How a database begins that lies open."""


def connect(path: Path, key: bytes, timeout: float, *, shared: bool = False) -> sqlite3.Connection:
    """A connection to an encrypted database; it begins no transaction by itself.

    Args:
        path: Its file; made where there is none.
        key: 32 bytes, used as they are.
        timeout: Seconds to wait for others who write.
        shared: Whether one thread after another may use it.
    """
    alone = not shared
    db = sqlcipher.connect(str(path), timeout, isolation_level=None, check_same_thread=alone)
    db.execute(f"PRAGMA key = {_literal(key)}")
    db.execute("PRAGMA temp_store = MEMORY")
    return cast("sqlite3.Connection", db)  # it has the same methods


def lies_open(path: Path) -> bool:
    """Whether a file is a database that anybody can read."""
    with path.open("rb") as file:
        return file.read(len(PLAIN)) == PLAIN


def encrypt(path: Path, key: bytes) -> None:
    """Encrypt a database that lies open, whole or not at all. Nobody else may use it meanwhile.

    Args:
        path: Its file.
        key: 32 bytes.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        # Its log goes into it, and goes away: a log of the old one must not lie beside the new.
        db.execute("PRAGMA journal_mode = DELETE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        with (
            closing(sqlcipher.connect(str(path), isolation_level=None)) as held,
            closing(sqlcipher.connect(str(path), isolation_level=None)) as db,
        ):
            held.execute("BEGIN IMMEDIATE")  # nobody enters anything that would not be in the copy
            db.execute(f"ATTACH DATABASE ? AS sealed KEY {_literal(key)}", (str(part),))
            db.execute("SELECT sqlcipher_export('sealed')")
            db.execute(f"PRAGMA sealed.user_version = {int(version)}")
            db.execute("DETACH DATABASE sealed")
            sync(part)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync(path.parent)


def _literal(key: bytes) -> str:
    """The key as SQLCipher takes one that is to go through no derivation."""
    return f"\"x'{key.hex()}'\""
