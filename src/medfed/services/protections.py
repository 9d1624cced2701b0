"""What a study's aggregator and privacy lines protect, against whom, at what cost: in sentences.

They are counted from models and from distributions of noise, which loads torch and takes seconds: a
console has a process of its own do it.
"""

import json
import math
import subprocess
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfed.core.aggregator import Promising
from medfed.core.errors import RunError
from medfed.core.files import canonical_json
from medfed.core.own_process import own_process
from medfed.core.registry import make
from medfed.core.rehearsal import noised_facts
from medfed.core.study import Study
from medfed.services.prices import Price
from medfed.services.trouble import Busy

PATIENCE_SECONDS = 120.0
REMEMBERED = 64
"""Studies whose sentences are kept."""
FAILED_SECONDS = 60.0
"""How long a failure counts, before another process is started for it."""
WAITING, WAIT_SECONDS = 4, 10.0
"""How many requests may be at it or wait, and for how long: the others are to find threads."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What one line of a study promises.

    Attributes:
        name: The part's, or ``statistics``.
        sentences: Whom it protects, against whom, what it costs, what it does not hide.
    """

    name: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What the other process said of a study.

    Attributes:
        protections: What its lines promise.
        prices: What it costs, hospital by hospital.
    """

    protections: tuple[Protection, ...] = ()
    prices: tuple[Price, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found for a study, and until when that counts; None where it failed."""

    told: Told | None
    until: float


def protections(study: Study) -> list[Protection]:
    """What a study's aggregator, privacy lines and statistics promise, in that order.

    Raises:
        MedfedError: A part cannot be used as the study has it.
    """
    found = []
    aggregator = make("aggregator", study.aggregator)
    if isinstance(aggregator, Promising):
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

    def __init__(self, command: Sequence[str] = own_process()) -> None:
        self._command = tuple(command)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._reading = threading.Lock()
        self._asking = threading.Lock()
        self._places = threading.BoundedSemaphore(WAITING)

    def of(self, study: Study) -> tuple[Protection, ...]:
        """What a study promises.

        Raises:
            RunError: The process failed or took too long, now or a moment ago.
            Busy: Others are being answered.
        """
        if not _counted(study):
            return tuple(protections(study))
        return self._of(study).protections

    def prices(self, study: Study, site: str) -> tuple[Price, ...]:
        """What a study costs at one hospital, by unit.

        Raises:
            RunError: As `of`.
            Busy: As `of`.
        """
        if not _counted(study):
            return ()
        return tuple(price for price in self._of(study).prices if price.site == site)

    def _of(self, study: Study) -> Told:
        key = _key(study)
        known = self._look(key) or self._in_turn(key, study)
        if known.told is None:
            raise _unknown()
        return known.told

    def _in_turn(self, key: bytes, study: Study) -> "_Known":
        """Ask once whoever came before is answered; few may wait, and not for long."""
        if not self._places.acquire(blocking=False):
            raise _busy()
        try:
            if not self._asking.acquire(timeout=WAIT_SECONDS):
                raise _busy()
            try:
                return self._look(key) or self._ask(key, study)
            finally:
                self._asking.release()
        finally:
            self._places.release()

    def _ask(self, key: bytes, study: Study) -> "_Known":
        try:
            found = _Known(self._asked(study), math.inf)
        except RunError:
            found = _Known(None, time.monotonic() + FAILED_SECONDS)
        with self._reading:
            self._known[key] = found
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    def _look(self, key: bytes) -> "_Known | None":
        with self._reading:
            known = self._known.get(key)
            if known is None or known.until < time.monotonic():
                return None
            self._known.move_to_end(key)
            return known

    def _asked(self, study: Study) -> Told:
        from medfed.services.reports.toml_text import study_toml  # slow import

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "study.toml"
            file.write_text(study_toml(study), "utf-8")
            told = self._told(file)
        if told.get("digest") != study.digest:
            raise _unknown()
        said = (Protection(each["name"], tuple(each["sentences"])) for each in told["protections"])
        return Told(tuple(said), tuple(Price.from_json(each) for each in told["prices"]))

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


def _key(study: Study) -> bytes:
    """What the sentences of a study follow from: all of it but its words for people."""
    return canonical_json(study.evolve(title="", question="", guideline=None).to_json())


def _counted(study: Study) -> bool:
    """Whether anything has a price that must be counted first."""
    return bool(study.privacy or study.statistics or noised_facts(study))


def _busy() -> Busy:
    message = "what other studies protect is being worked out"
    return Busy(message, remedy="Try again in a moment")


def _unknown() -> RunError:
    message = "what this study protects could not be worked out"
    return RunError(message, remedy="Try `medfed study check` on its file, which says why")
