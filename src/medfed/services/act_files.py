"""The files in which commands leave what they did, until a console takes it in; not endlessly many.

Where no console ever looks they would pile up. From `MOST` on the older half is summed up in one
act, which says how many there were, of which kinds, and of which time.
"""

import fcntl
import json
import logging
import os
import secrets
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from medfed.core.files import write_json
from medfed.services.audit import LONGEST_REASON, plain
from medfed.storage.database.types import now

log = logging.getLogger(__name__)

LONGEST = 1 << 16
"""Bytes of a file that may be an act; ours have some hundreds."""
AT_MACHINE = "os:"
"""Begins what the record calls whoever acts at the machine: no user's name can."""
MOST = 1000
"""Acts of one folder that wait for a console."""
UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, RecursionError),
)
"""What reading a file raises that somebody else wrote there."""
SUMMED = "acts.sum"
"""The act that stands for many."""
DAMAGED = "damaged"
"""Stands in a sum for files that were no acts."""


@dataclass(frozen=True, slots=True)
class Act:
    """What a file says.

    Attributes:
        row: A row of the record.
        since: When the first was done of those that it stands for.
        kinds: How many there are, by who did what; only itself, where it is no sum.
    """

    row: dict[str, Any]
    since: datetime
    kinds: Counter[str]


def write_act(acts: Path, act: dict[str, Any]) -> None:
    """Write an act into the folder of acts, and see that there are not too many."""
    write_json(acts / f"{secrets.token_hex(16)}.json", act)
    if len(_files(acts)) > MOST:
        with _alone(acts) as alone:
            if alone:  # else another command is at it
                _sum_up(acts, act["actor"])


def acts_in(acts: Path) -> list[tuple[Path, Act]]:
    """The acts in a folder of acts, the oldest first."""
    return _in_order([(file, _read(file)) for file in _files(acts)])


def _in_order(read: list[tuple[Path, Act | None]]) -> list[tuple[Path, Act]]:
    whole = [(file, act) for file, act in read if act is not None]
    return sorted(whole, key=lambda each: each[1].row["at"])


def _files(acts: Path) -> list[Path]:
    return list(acts.glob("[0-9a-f]*.json"))


def _sum_up(acts: Path, actor: str) -> None:
    """Put the older half into one act, and what is damaged.

    The sum is written before they are removed: where it is broken off between, some are told twice,
    and none is left out.
    """
    read = [(file, _read(file)) for file in _files(acts)]
    found = _in_order(read)
    older = found[: max(0, len(found) - MOST // 2)]
    damaged = [file for file, act in read if act is None and _is_damaged(file)]
    total = _sum([act for _, act in older], len(damaged))
    write_json(acts / f"{secrets.token_hex(16)}.json", {**total, "actor": actor})
    for file in (*(file for file, _ in older), *damaged):
        file.unlink(missing_ok=True)


def _sum(older: list[Act], damaged: int) -> dict[str, Any]:
    kinds = sum((act.kinds for act in older), Counter({DAMAGED: damaged}))
    at = max((act.row["at"] for act in older), default=now())
    since = min((act.since for act in older), default=at)
    told = ", ".join(f"{kind} {many}" for kind, many in (+kinds).most_common())
    return {
        "at": at.isoformat(),
        "since": since.isoformat(),
        "kinds": +kinds,
        "action": SUMMED,
        "subject": f"acts: {kinds.total()}",
        "reason": f"since {since:%Y-%m-%d %H:%M} UTC: {told}",
    }


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process is at it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


def _read(file: Path) -> Act | None:
    try:
        said = json.loads(_bytes_of(file))
        text = {name: str(said[name]) for name in ("actor", "action", "subject", "reason")}
        at = _moment(said["at"])
        since = _moment(said.get("since", said["at"]))
        kinds = Counter({str(kind): int(many) for kind, many in said.get("kinds", {}).items()})
    except FileNotFoundError:  # another process of the console was quicker
        return None
    except UNREADABLE as error:
        log.warning("%s is no act that can be read: %s", file.name, type(error).__name__)
        return None
    lengths = {"actor": 64, "action": 60, "subject": 200, "reason": LONGEST_REASON}
    kept = {name: plain(text[name], length) for name, length in lengths.items()}
    if not kept["actor"].startswith(AT_MACHINE):
        kept["actor"] = f"{AT_MACHINE}unknown"  # a file is no proof of a user's act
    done = said.get("allowed", True) is True
    tried = "" if done else " (failed)"
    kind = f"{kept['actor'].removeprefix(AT_MACHINE)} {kept['action']}{tried}"
    kinds = kinds or Counter({kind: 1})
    row = {"key": file.stem[:32], "at": at, "allowed": done, "address": "", **kept}
    return Act(row, since, kinds)


def _is_damaged(file: Path) -> bool:
    """Whether a file that gave no act can be read, so that what it holds is to blame."""
    try:
        _bytes_of(file)
    except OSError:
        return False
    except ValueError:
        pass
    return True


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(now().tzinfo)


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
