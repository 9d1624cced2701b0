"""What a study's aggregator and privacy lines protect, against whom, at what cost: in sentences.

They are counted from models and from distributions of noise, which loads torch and takes seconds: a
console has a process of its own do it.
"""

import json
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfed.core.aggregator import Seated
from medfed.core.errors import RunError
from medfed.core.registry import make
from medfed.core.rehearsal import noised_facts
from medfed.core.study import Study

PATIENCE_SECONDS = 120.0
REMEMBERED = 64
"""Studies whose sentences are kept."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What one line of a study promises.

    Attributes:
        name: The part's, or ``statistics``.
        sentences: Whom it protects, against whom, what it costs, what it does not hide.
    """

    name: str
    sentences: tuple[str, ...]


def protections(study: Study) -> list[Protection]:
    """What a study's aggregator, privacy lines and statistics promise, in that order.

    Raises:
        MedfedError: A part cannot be used as the study has it.
    """
    found = []
    aggregator = make("aggregator", study.aggregator)
    if isinstance(aggregator, Seated):
        said = aggregator.protection(len(study.sites), study.min_sites)
        found.append(Protection(study.aggregator.name, tuple(said)))
    if _counted(study):
        from medfed.privacy.words import all_promises  # counting takes a second

        found += [Protection(name, tuple(said)) for name, said in all_promises(study)]
    return found


class Protections:
    """The same for a console: in another process, one at a time, and kept in memory.

    Args:
        command: How to call medfed.
    """

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", "medfed")) -> None:
        self._command = tuple(command)
        self._known: OrderedDict[str, tuple[Protection, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, study: Study) -> tuple[Protection, ...]:
        """What a study promises.

        Raises:
            RunError: The process failed, or took too long.
        """
        if not _counted(study):
            return tuple(protections(study))
        with self._lock:
            if study.digest not in self._known:
                self._known[study.digest] = self._asked(study)
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            self._known.move_to_end(study.digest)
            return self._known[study.digest]

    def _asked(self, study: Study) -> tuple[Protection, ...]:
        from medfed.services.reports.toml_text import study_toml  # slow import

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "study.toml"
            file.write_text(study_toml(study), "utf-8")
            told = self._told(file)
        if told.get("digest") != study.digest:
            raise _unknown()
        return tuple(
            Protection(each["name"], tuple(each["sentences"])) for each in told["protections"]
        )

    def _told(self, file: Path) -> Mapping[str, Any]:
        command = ["nice", "-n", "5", *self._command, "study", "check", str(file), "--json"]
        try:
            done = subprocess.run(  # our own program
                command, capture_output=True, timeout=PATIENCE_SECONDS, check=True
            )
            told: Mapping[str, Any] = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise _unknown() from error
        return told


def _counted(study: Study) -> bool:
    """Whether anything has a price that must be counted first."""
    return bool(study.privacy or study.statistics or noised_facts(study))


def _unknown() -> RunError:
    message = "what this study protects could not be worked out"
    return RunError(message, remedy="Try `medfed study check` on its file, which says why")
