"""What left a hospital: the receipts that its site keeps, each signature checked, and its log."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from medfed.core.errors import DataError, MedfedError, Refused
from medfed.federation.audit.log import FOLDER as LOG
from medfed.federation.audit.verify import Verdict, verify_folder
from medfed.federation.keys import PUBLIC, fingerprint, load_public
from medfed.federation.receipts import verify_receipt
from medfed.federation.site_folder import SiteFolder
from medfed.services.sites import site_vault
from medfed.services.trouble import Missing
from medfed.storage.database.types import now

PLACE = "receipts"
WORDS = ("title", "study", "time", "purpose", "sentence")
COUNTS = ("round", "bytes", "patients")
LOOKS, PAUSE = 3, 0.3
"""How often a record with faults is looked at, and seconds in which nothing may change."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One reply that left.

    Attributes:
        content: The receipt as the site signed it.
        good: Whether the signature holds.
    """

    content: Mapping[str, Any]
    good: bool


@dataclass(frozen=True, slots=True)
class RunReceipts:
    """What left in one run.

    Attributes:
        run: The run.
        title: Of its study.
        study: Digest of its study.
        first: When the first reply left, ISO 8601.
        last: When the last one did.
        count: How many.
        bytes: In all, without envelopes.
        patients: The most whose records went into one reply.
        rounds: How many rounds of training.
        bad: Receipts whose signature does not hold; all of them where the file is damaged.
        damaged: Whether the file cannot be read.
    """

    run: str
    title: str = ""
    study: str = ""
    first: str = ""
    last: str = ""
    count: int = 0
    bytes: int = 0
    patients: int = 0
    rounds: int = 0
    bad: int = 0
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """What checking the site's log found.

    Attributes:
        verdict: The findings.
        fingerprint: Of the site's key.
        at: When it was checked.
        writing: Whether the site went on writing: faults may be of what was half written.
    """

    verdict: Verdict
    fingerprint: str
    at: datetime
    writing: bool = False


class Receipts:
    """What one hospital's site keeps of what left it.

    Args:
        site: The site's own folder.
    """

    def __init__(self, site: Path) -> None:
        self.site = site
        self._verified: tuple[tuple[Any, ...], Verified] | None = None

    @property
    def folder(self) -> SiteFolder:
        """The site's folder, opened."""
        return SiteFolder(self.site, site_vault(self.site))

    def runs(self) -> Sequence[RunReceipts]:
        """All runs in which something left, the latest first."""
        files = sorted((self.site / PLACE).glob("*.jsonl"))
        return sorted(map(self._of_file, files), key=lambda each: each.last, reverse=True)

    def of_run(self, run: str) -> Sequence[Receipt]:
        """What left in one run, reply by reply.

        Raises:
            Missing: Nothing did.
            DataError: The file is damaged.
        """
        key = load_public(self.site / PUBLIC)
        try:
            found = list(self.folder.receipts(run))
        except Refused:
            found = []  # no run is called so
        if not found:
            raise Missing("nothing left in such a run", remedy="Look at the list of runs")
        return [Receipt(each, _holds(each, key)) for each in found]

    def lines(self, run: str | None = None) -> Iterator[str]:
        """The receipts of one run, or of all, one JSON object a line, as they were signed.

        Raises:
            Missing: Nothing left in such a run.
            DataError: A file is damaged.
        """
        found = [each.content for each in self.of_run(run)] if run else self.all()
        return (json.dumps(each, ensure_ascii=False) + "\n" for each in found)

    def all(self) -> Iterator[Mapping[str, Any]]:
        """All receipts as they were signed."""
        return self.folder.receipts()

    def verified(self) -> Verified:
        """Whether the site's log and its receipts are what was signed; looked at when they change.

        Raises:
            MedfedError: The site's key cannot be read.
        """
        found = self._looked_at()
        for _ in range(LOOKS - 1):
            if not found.writing:
                break
            found = self._looked_at()
        return found

    def _looked_at(self) -> Verified:
        """The verdict on the files as they are, which may change meanwhile."""
        state = self._state()
        if self._verified is not None and self._verified[0] == state:
            return self._verified[1]
        found = self._verify()
        if found.verdict.faults:
            time.sleep(PAUSE)  # a receipt and its entry are written one after the other
        if self._state() == state:
            self._verified = (state, found)
            return found
        return replace(found, writing=bool(found.verdict.faults))

    def _verify(self) -> Verified:
        key, here = load_public(self.site / PUBLIC), self.folder
        verdict = verify_folder(self.site, here.settings().name, key, vault=here.vault)
        return Verified(verdict, fingerprint(key), now())

    def _state(self) -> tuple[Any, ...]:
        """What the files look like from outside."""
        places = (self.site / PLACE, self.site / LOG)
        files = [file for place in places for file in sorted(place.glob("*"))]
        return tuple(_looks(file) for file in [*files, self.site / PUBLIC])

    def _of_file(self, file: Path) -> RunReceipts:
        try:
            receipts = self.of_run(file.stem)
            whole = [each.content for each in receipts]
            return RunReceipts(
                run=file.stem,
                title=str(whole[-1]["title"]),
                study=str(whole[-1]["study"]),
                first=str(whole[0]["time"]),
                last=str(whole[-1]["time"]),
                count=len(whole),
                bytes=sum(int(each["bytes"]) for each in whole),
                patients=max(int(each["patients"]) for each in whole),
                rounds=len({each["round"] for each in whole if each["purpose"] == "train"}),
                bad=sum(not each.good for each in receipts),
            )
        except (MedfedError, LookupError, TypeError, ValueError, AttributeError):
            return RunReceipts(file.stem, damaged=True)


def _looks(file: Path) -> tuple[Any, ...]:
    """What tells one state of a file from another; also where its time was set back."""
    try:
        stat = file.stat()
    except FileNotFoundError:  # one on its way to its name
        return (file.name,)
    return (file.name, stat.st_ino, stat.st_ctime_ns, stat.st_mtime_ns, stat.st_size)


def _shown(receipt: Mapping[str, Any]) -> bool:
    """Whether a receipt holds what pages show of it, as what it is; signed or not."""
    words = [receipt.get(name) for name in WORDS]
    counts, norm = [receipt.get(name) for name in COUNTS], receipt.get("norm", "")
    return (
        all(isinstance(word, str) for word in words)
        and all(type(count) is int and 0 <= count < 2**63 for count in counts)
        and (norm is None or (type(norm) in (int, float) and abs(norm) <= sys.float_info.max))
    )


def _holds(receipt: Mapping[str, Any], key: Any) -> bool:
    if not isinstance(receipt, dict) or not _shown(receipt):
        raise DataError("a receipt is damaged", remedy="Restore the file from a backup")
    try:
        verify_receipt(receipt, key)
    except MedfedError:
        return False
    return True
