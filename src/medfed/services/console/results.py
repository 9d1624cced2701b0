"""What came of a run, and what it spent: read from its folder."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from medfed.core.errors import MedfedError
from medfed.core.study_file import parse_study
from medfed.services.console.place import Place
from medfed.services.privacy_spent import privacy_of
from medfed.services.trouble import Missing
from medfed.storage.database.tables import RunRow
from medfed.storage.run_folder import RunFolder


class Results:
    """Results of the runs of one console.

    Args:
        place: Where their folders are.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._spent = lru_cache(256)(self._look_up)  # a round's ledgers are counted once

    def result(self, run: str) -> dict[str, Any] | None:
        """What ``result.json`` says; None before the run is finished."""
        try:
            return RunFolder(self.place.run_folder(run)).result()
        except MedfedError:  # damaged, which the page of the run need not die of
            return None

    def importance(self, row: RunRow) -> dict[str, Any]:
        """What each input of a tabular model is worth, the most important first.

        Raises:
            RunError: The run is not finished, or its task examines no inputs.
        """
        figures: Mapping[str, Any] = (self.result(row.id) or {}).get("importance") or {}
        if not figures:
            raise Missing("no inputs were examined", remedy="Look at a finished run on tables")
        worth = sorted(figures.items(), key=lambda pair: -(pair[1].get("value") or 0.0))
        inputs = [{"name": name, **figure} for name, figure in worth]
        return {"metric": row.metric, "inputs": inputs}

    def privacy(self, row: RunRow) -> dict[str, Any] | None:
        """What the run spent of each hospital's privacy so far, by the ledgers that are here.

        Returns:
            As `medfed.services.privacy_spent.privacy_of`; None without privacy lines.
        """
        known = self.result(row.id)
        if known is not None:
            return known.get("privacy")
        return self._spent(row.id, row.toml, row.round)

    def _look_up(self, run: str, toml: str, _round: int) -> dict[str, Any] | None:
        folder = RunFolder(self.place.run_folder(run))
        try:
            study = parse_study(toml)
            known = folder.record()["run"] if folder.exists else ""
            return privacy_of(study, folder.path / "sites", known)
        except MedfedError:  # a ledger is locked or damaged: nothing is said that nobody knows
            return None
