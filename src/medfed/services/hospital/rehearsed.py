"""What left a hospital in a rehearsal, where each run makes sites of its own in its folder."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from medfed.federation.audit.verify import Verdict
from medfed.federation.keys import PUBLIC
from medfed.services.hospital.receipts import Receipt, Receipts, RunReceipts, Verified
from medfed.services.trouble import Missing


class RehearsedReceipts(Receipts):
    """What left a hospital's own site, and the sites that runs on this machine made for it.

    Each of those has a key of its own: what it signed is checked by that key.

    Args:
        site: The hospital's own folder.
        runs: The folder of the runs, each with its ``sites/NAME``.
    """

    def __init__(self, site: Path, runs: Path) -> None:
        super().__init__(site)
        self._runs = runs
        self._name = self.folder.settings().name
        self._known: dict[Path, Receipts] = {}

    def runs(self) -> Sequence[RunReceipts]:
        """All runs in which something left, the latest first."""
        found = [*super().runs(), *(run for each in self._made() for run in each.runs())]
        return sorted(found, key=lambda each: each.last, reverse=True)

    def of_run(self, run: str) -> Sequence[Receipt]:
        """What left in one run; see `Receipts.of_run`."""
        for each in self._made():
            with suppress(Missing):
                return each.of_run(run)
        return super().of_run(run)

    def all(self) -> Iterator[Mapping[str, Any]]:
        """All receipts as they were signed."""
        return chain(super().all(), *(each.all() for each in self._made()))

    def verified(self) -> Verified:
        """Whether each site's log and receipts are what it signed; see `Receipts.verified`."""
        found = [super().verified(), *(each.verified() for each in self._made())]
        verdicts = [each.verdict for each in found]
        return Verified(
            Verdict(
                self._name,
                sum(each.entries for each in verdicts),
                sum(each.receipts for each in verdicts),
                [fault for each in verdicts for fault in each.faults],
            ),
            "\n".join(each.fingerprint for each in found),
            max(each.at for each in found),
            any(each.writing for each in found),
        )

    def _made(self) -> Sequence[Receipts]:
        """The sites that runs made, from when they have a key."""
        keys = sorted(self._runs.glob(f"*/sites/{self._name}/{PUBLIC}"))
        return [self._known.setdefault(key.parent, Receipts(key.parent)) for key in keys]
