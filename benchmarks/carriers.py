"""What it costs to carry a round elsewhere: on Ray, beside the same round on the local channel.

Both are taken in turns, in the same process, on the same study; a ratio is that of a pair of
neighbours. Starting a cluster is left out: a round is the time from one aggregate to the next.
"""

import itertools
import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _common import Row, arguments, in_fresh_process, report, row
from _studies import table_study, write_tables
from engine import MLP, ROWS, SITES, nodule_study

from medfed.core.events import Event, RoundFinished
from medfed.core.study import Study


def round_seconds(study: Study, data: Path, **options: Any) -> float:
    """The median round of a run, without the first."""
    from medfed.services import runs

    ends: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, RoundFinished):
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory(prefix="medfed-carriers-") as out:
        how = runs.RunOptions(out=Path(out) / "run", data=data, report=False, **options)
        runs.start(study, how, on_event=listen)
    return statistics.median(b - a for a, b in itertools.pairwise(ends))


def pairs(study: Study, data: Path, engine: str, turns: int) -> list[tuple[float, float]]:
    """Rounds on the local channel and on another, in turns."""
    return [
        (round_seconds(study, data), round_seconds(study, data, engine=engine))
        for _ in range(turns)
    ]


def run_child(engine: str, model: str, rounds: int, turns: int) -> list[tuple[float, float]]:
    """The pairs of one model."""
    with tempfile.TemporaryDirectory(prefix="medfed-carriers-") as name:
        data = Path(name)
        if model == "unet":
            study = nodule_study(data, rounds)
        else:
            study = table_study(SITES, rounds, MLP)
            write_tables(data, SITES, ROWS)
        return pairs(study, data, engine, turns)


def measured(engine: str, model: str, rounds: int, turns: int) -> tuple[float, float]:
    """Milliseconds of a round on the other channel, and its ratio to the local one's."""
    words = (engine, model, str(rounds), str(turns))
    found = in_fresh_process(__file__, "child", *words)
    ratios = [theirs / local for local, theirs in found]
    return 1e3 * statistics.median(theirs for _, theirs in found), statistics.median(ratios)


def ray_rows(quick: bool) -> list[Row]:
    """Sites as actors of a cluster that the run starts on this machine."""
    if find_spec("ray") is None:
        print("Ray is not installed: left out", file=sys.stderr)
        return []
    turns = 1 if quick else 3
    mlp, mlp_ratio = measured("ray", "mlp", 20 if quick else 60, turns)
    unet, unet_ratio = measured("ray", "unet", 3 if quick else 5, turns)
    return [
        row("Ray, MLP, 4 sites: a round, against the local channel", mlp_ratio, "×", 2.0),
        row("Ray, MLP, 4 sites: a round", mlp, "ms"),
        row("Ray, 3D U-Net, 3 sites: a round, against the local channel", unet_ratio, "×", 1.05),
        row("Ray, 3D U-Net, 3 sites: a round", unet, "ms"),
    ]


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        import json

        engine, model, rounds, turns = sys.argv[2:]
        print(json.dumps(run_child(engine, model, int(rounds), int(turns))))
        return
    given = arguments(__doc__).parse_args()
    report(ray_rows(given.quick), as_json=given.json)


if __name__ == "__main__":
    main()
