"""Acts of whoever has the machine: done by a command, upon a folder, in the record of its console.

Who owns a folder may do everything with it: the operating system has decided that, and no console
is asked. So that the console's people see it, the act is left in the folder as a file of its own; a
console that shows the folder takes it into its record, once, when it starts and when the record is
looked at. The file needs no database, which may be elsewhere, or away, or not there yet.
"""

import json
import logging
import os
import pwd
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite

from medfed.core.files import write_json
from medfed.services.accounts.identity import Identity
from medfed.services.audit import LONGEST_REASON, plain
from medfed.storage.database import Database
from medfed.storage.database.tables import AuditRow
from medfed.storage.database.types import now

log = logging.getLogger(__name__)

FOLDER = "acts"
LONGEST = 1 << 16
"""Bytes of a file that may be an act; ours have some hundreds."""
AT_MACHINE = "os:"
"""Begins what the record calls such a person: no user's name can."""


def whoever() -> Identity:
    """The user of the operating system who runs this program."""
    name = _name_of(os.geteuid())
    # Only root can be trusted with who became root.
    before = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    called = f"{before} as {name}" if before and before != name else name
    return Identity(name=plain(f"{AT_MACHINE}{called}", 64))


def _name_of(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # in a container there may be no name
        return str(number)


def leave_act(folder: Path, action: str, subject: str = "", *, reason: str = "") -> None:
    """Say, in a site's or a coordinator's folder, what was just done with it by a command.

    Args:
        folder: The folder.
        action: What was done, see `medfed.web.audit_words`.
        subject: Upon what.
        reason: What more there is to say.
    """
    acts = folder / FOLDER
    key = secrets.token_hex(16)
    about = {"at": now().isoformat(), "actor": whoever().name, "action": action}
    with _as_owner_of(folder):
        acts.mkdir(mode=0o700, exist_ok=True)
        write_json(acts / f"{key}.json", {**about, "subject": subject, "reason": reason})


@contextmanager
def _as_owner_of(folder: Path) -> Iterator[None]:
    """Root writes as whoever owns the folder: a console that runs as them could not read it."""
    user, group = os.getresuid()[1], os.getresgid()[1]
    if user != 0:
        yield
        return
    owner = folder.stat()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


def take_in(database: Database, folders: Iterable[Path]) -> int:
    """Take what was left in folders into a console's record, and remove it there.

    Two consoles of one database, or a console that was stopped between the two, record it once.

    Returns:
        How many acts there were.
    """
    found = [each for folder in folders for each in _left_in(folder)]
    if not found:
        return 0
    insert = postgresql.insert if database.on_postgres else sqlite.insert
    with database.write() as session:
        for _file, act in found:
            added = insert(AuditRow).values(**act)
            session.execute(added.on_conflict_do_nothing(index_elements=["key"]))
    for file, _act in found:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:  # it is in the record, and will not be there twice
            log.warning("%s cannot be removed: %s", file, error.strerror)
    return len(found)


def _left_in(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The acts in a folder, the oldest first."""
    read = [(file, _read(file)) for file in (folder / FOLDER).glob("[0-9a-f]*.json")]
    whole = [(file, act) for file, act in read if act is not None]
    yield from sorted(whole, key=lambda each: each[1]["at"])


def _read(file: Path) -> dict[str, Any] | None:
    try:
        act = json.loads(_bytes_of(file))
        text = {name: str(act[name]) for name in ("actor", "action", "subject", "reason")}
        at = datetime.fromisoformat(act["at"]).astimezone(now().tzinfo)
    except FileNotFoundError:  # another process of the console was quicker
        return None
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        log.warning("%s is no act that can be read: %s", file.name, type(error).__name__)
        return None
    lengths = {"actor": 64, "action": 60, "subject": 200, "reason": LONGEST_REASON}
    kept = {name: plain(text[name], length) for name, length in lengths.items()}
    if not kept["actor"].startswith(AT_MACHINE):
        kept["actor"] = f"{AT_MACHINE}unknown"  # a file is no proof of a user's act
    return {"key": file.stem[:32], "at": at, "allowed": True, "address": "", **kept}


def _bytes_of(file: Path) -> bytes:
    """What a file holds that we may have written: no link, no pipe, nothing large."""
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("it is no plain file")
        found = os.read(handle, LONGEST + 1)
    finally:
        os.close(handle)
    if len(found) > LONGEST:
        raise ValueError("it is too long")
    return found
