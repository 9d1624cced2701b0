"""Rounds of a whole run, its folders encrypted or not: what encryption at rest costs an epoch."""

import itertools
import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _common import Row, ratio, row, timings
from _studies import nodule_study, table_study, write_tables

from medfed.core.events import Event, RoundFinished
from medfed.core.study import Study

SITES, ROWS, HIDDEN = 4, 2000, [256, 256]
LIMIT = 1.1


def at_rest(*, quick: bool) -> list[Row]:
    """A network on tables, a pass over each hospital's rows a round; and the 3D U-Net."""
    with tempfile.TemporaryDirectory(prefix="medfed-at-rest-") as name:
        folder = Path(name)
        write_tables(folder / "tables", SITES, ROWS)
        table = table_study(SITES, 4 if quick else 10, HIDDEN)
        rows = _rows("MLP, an epoch a round", table, folder / "tables", folder, 2 if quick else 7)
        if not quick:
            scans = nodule_study(folder / "scans", 3, 32)
            rows += _rows("3D U-Net, 30 steps a round", scans, folder / "scans", folder, 2)
        return rows


def _rows(what: str, study: Study, data: Path, folder: Path, repeats: int) -> list[Row]:
    key = folder / "at-rest.key"
    key.write_bytes(secrets.token_bytes(32))
    rounds: dict[str, list[float]] = {"sealed": [], "open": []}

    def run(how: str) -> Callable[[], None]:
        return lambda: rounds[how].append(
            _round(study, data, folder / "run", str(key) if how == "sealed" else None)
        )

    timings({how: run(how) for how in rounds}, repeats)
    took = {how: seconds[1:] for how, seconds in rounds.items()}  # the first does not count
    return [
        row(f"At rest, {what}: encrypted against open", ratio(*took.values()), "×", LIMIT),
        row(f"At rest, {what}: a round, encrypted", 1e3 * statistics.median(took["sealed"]), "ms"),
        row(f"At rest, {what}: a round, open", 1e3 * statistics.median(took["open"]), "ms"),
    ]


def _round(study: Study, data: Path, out: Path, encrypt_with: str | None) -> float:
    """Run a study into a fresh folder: the median round, in seconds."""
    from medfed.services import runs

    ends: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, RoundFinished):
            ends.append(time.perf_counter())

    shutil.rmtree(out, ignore_errors=True)
    options = runs.RunOptions(out=out, data=data, report=False, encrypt_with=encrypt_with)
    runs.start(study, options, on_event=listen)
    return statistics.median(b - a for a, b in itertools.pairwise(ends))
