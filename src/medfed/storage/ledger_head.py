"""How far a ledger had come, in a file beside it: so a ledger that forgot something is noticed.

The head covers what was entered, the names of cohorts and so who is in them (see
`medfed.storage.ledger_rows`), and each limit that was ever set. It is written after each of them
and before the answer that an entry pays for leaves. So a ledger may be ahead of its head, by what a
kill left, and never behind. Who puts back both as they once were together is not noticed by this:
only receipts then tell of rounds that the ledger knows nothing of.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from medfed.core.errors import DataError, SiteError

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from medfed.core.vault import Vault

HEAD = "ledger.head"
REMEDY = "Bring the newest ledger and its head back; without them nothing private is answered"


@dataclass(frozen=True, slots=True)
class Head:
    """What a ledger must still hold.

    Attributes:
        entries: How many entries; −1 before it was made.
        sha256: Of all of them, in their order.
        limits: How many limits; −1 in the heads of older ledgers, which covered none.
        limits_sha256: Of all of them, in their order.
    """

    entries: int = -1
    sha256: str = ""
    limits: int = -1
    limits_sha256: str = ""


def head_beside(ledger: Path) -> Path:
    """Where a ledger's head lies."""
    return ledger.with_suffix(".head")


def kept(ledger: Path, vault: Vault) -> Head | None:
    """The head as it was last written; None where there is none.

    Raises:
        SiteError: It cannot be read, or is not this ledger's.
    """
    file = head_beside(ledger)
    if not file.exists():
        return None
    try:
        return Head(**json.loads(vault.read(file)))
    except (OSError, DataError, ValueError, TypeError):
        message = f"{file} cannot be read, and says what the ledger must hold"
        raise SiteError(message, remedy=REMEDY) from None


def keep(ledger: Path, vault: Vault, head: Head) -> None:
    """Write the head, durably; nobody else may write the ledger meanwhile."""
    vault.write(head_beside(ledger), json.dumps(asdict(head)).encode())


def head_of(db: sqlite3.Connection, *, covers_limits: bool = True) -> Head:
    """The head of a ledger that has tables.

    Args:
        db: The open ledger.
        covers_limits: Whether it is of a form whose limits are covered. If not, the head demands
            none: it goes before the form's change, which a kill may prevent.
    """
    entries = _digest(db, "entries")
    return Head(*entries, *_digest(db, "limits", -1 if covers_limits else 0))


def check(
    ledger: Path, db: sqlite3.Connection | None, head: Head | None, *, covers_limits: bool
) -> None:
    """Complain about a ledger that holds less than its head says.

    Args:
        ledger: Its file.
        db: The open ledger; None where it is missing or has no tables.
        head: Read before the ledger was, which may have grown since.
        covers_limits: Whether the ledger is of a form whose limits are covered.

    Raises:
        SiteError: It was emptied, or an older copy of it or of its head was put in its place.
    """
    if head is None or head.entries < 0:
        return
    if db is None or not _holds(db, head, covers_limits=covers_limits):
        message = f"the ledger {ledger} holds less than was entered: an older copy, or emptied"
        raise SiteError(message, remedy=REMEDY)


def _holds(db: sqlite3.Connection, head: Head, *, covers_limits: bool) -> bool:
    if _digest(db, "entries", head.entries) != (head.entries, head.sha256):
        return False
    if not covers_limits:
        return head.limits <= 0
    return _digest(db, "limits", head.limits) == (head.limits, head.limits_sha256)


def _digest(db: sqlite3.Connection, table: str, most: int = -1) -> tuple[int, str]:
    """Of a table's first rows: how many there are, and what they hold."""
    found, count = hashlib.sha256(), 0
    rows = f"SELECT * FROM {table} ORDER BY number LIMIT ?"  # noqa: S608  # a name of ours
    for row in db.execute(rows, (most,)) if most else ():
        found.update(json.dumps(row).encode() + b"\n")
        count += 1
    return count, found.hexdigest()


def check_missing(ledger: Path, head: Head | None) -> None:
    """Complain where a ledger is made with a head, and there is none any more."""
    if head is None:
        message = f"{head_beside(ledger)} is missing, and says what the ledger must hold"
        raise SiteError(message, remedy=REMEDY)
