"""Acts of whoever has the machine: done by a command, upon a folder, in the record of its console.

Who owns a folder may do everything with it: the operating system has decided that, and no console
is asked. So that the console's people see it, the act is left in the folder as a file of its own; a
console that shows the folder takes it into its record, once, when it starts and when the record is
looked at. The file needs no database, which may be elsewhere, or away, or not there yet.
"""

import logging
import os
import pwd
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy.dialects import postgresql, sqlite

from medfed.core.errors import MedfedError
from medfed.services.accounts.identity import Identity
from medfed.services.act_files import AT_MACHINE, acts_in, write_act
from medfed.services.audit import plain
from medfed.storage.database import Database
from medfed.storage.database.tables import AuditRow
from medfed.storage.database.types import now

log = logging.getLogger(__name__)

FOLDER = "acts"


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


def leave_act(
    folder: Path, action: str, subject: str = "", *, reason: str = "", allowed: bool = True
) -> None:
    """Say, in a site's or a coordinator's folder, what is done with it by a command.

    Args:
        folder: The folder.
        action: What is done, see `medfed.web.audit_words`.
        subject: Upon what.
        reason: What more there is to say.
        allowed: Whether it was done, and not only tried.
    """
    acts = folder / FOLDER
    about = {"at": now().isoformat(), "actor": whoever().name, "action": action}
    said = {"subject": subject, "reason": reason, "allowed": allowed}
    with _as_owner_of(folder):
        acts.mkdir(mode=0o700, exist_ok=True)
        write_act(acts, {**about, **said})


@contextmanager
def about_to(
    folder: Path, action: str, subject: str = "", reason: str = "", *, urgent: bool = False
) -> Iterator[None]:
    """Say what is about to be done, and if it fails that too: a kill between hides nothing.

    Args:
        folder: As `leave_act` has it, and so the next three.
        action: What is done.
        subject: Upon what.
        reason: What more there is to say.
        urgent: Whether a full disk must not hold it up, as where trust is withdrawn: what could not
            be said before is said when it is done.
    """
    said = True
    try:
        leave_act(folder, action, subject, reason=reason)
    except OSError:
        if not urgent:
            raise
        said = False
    try:
        yield
    except (MedfedError, OSError) as error:
        with suppress(OSError):  # the disk may be full for this, too
            failed = f"failed, perhaps after it was done: {error}"
            leave_act(folder, action, subject, reason=failed, allowed=False)
        raise
    if not said:
        leave_act(folder, action, subject, reason=reason)


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
    found = [each for folder in folders for each in acts_in(folder / FOLDER)]
    if not found:
        return 0
    insert = postgresql.insert if database.on_postgres else sqlite.insert
    with database.write() as session:
        for _file, act in found:
            added = insert(AuditRow).values(**act.row)
            session.execute(added.on_conflict_do_nothing(index_elements=["key"]))
    for file, _act in found:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:  # it is in the record, and will not be there twice
            log.warning("%s cannot be removed: %s", file, error.strerror)
    return len(found)
