"""Events of a run on their way to the database, in a file until they are there."""

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from medfed.core.errors import DataError
from medfed.core.events import read_event
from medfed.core.files import append_line, read_lines
from medfed.services.console.taking import Numbered
from medfed.storage.database.types import finite

log = logging.getLogger(__name__)

ENDING = ".outbox.jsonl"


class Outbox:
    """A file with the events that a run's process has not seen arrive in the database.

    It outlives the process: the next one finds what is left. Events have numbers, so one that had
    arrived after all is not written down twice.

    Args:
        file: Where; None keeps nothing.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @classmethod
    def beside(cls, run_folder: Path) -> "Outbox":
        """The outbox of a run that has this folder."""
        return cls(run_folder.with_name(f"{run_folder.name}{ENDING}"))

    def left(self) -> list[Numbered]:
        """What an earlier process left, in order.

        Raises:
            DataError: The file is damaged.
        """
        lines = read_lines(self._file) if self._file else []
        return [
            (number, (datetime.fromisoformat(at), read_event(event)))
            for line in lines
            for number, at, event in line
        ]

    def put(self, events: Sequence[Numbered]) -> None:
        """Keep events on the disk; a full one is no reason to stop training."""
        if not self._file or not events:
            return
        try:
            kept = [(number, at.isoformat(), event.to_json()) for number, (at, event) in events]
            append_line(self._file, finite(kept))
        except OSError as error:
            log.warning("events wait in memory only: %s", error)

    def clear(self) -> None:
        """Everything arrived."""
        if self._file:
            self._file.unlink(missing_ok=True)


def waiting(runs: Path) -> int:
    """How many events of all runs wait on the disk for the database.

    Args:
        runs: The folder in which the runs' folders lie, and their outboxes beside them.
    """
    count = 0
    for file in runs.glob(f"*{ENDING}"):
        try:
            count += sum(len(line) for line in read_lines(file))
        except DataError:  # its run complains, and nobody waits for these
            continue
    return count
