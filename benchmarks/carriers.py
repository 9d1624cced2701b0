"""What it costs to carry a round elsewhere: on Ray and over Flower, beside the local channel.

On Ray: both are taken in turns, in the same process, on the same study; a ratio is that of a pair
of neighbours. Starting a cluster is left out: a round is the time from one aggregate to the next.

Over Flower: everything is real but the network, which is the loopback interface. The peers are
Flower's own null app, Flower's own FedAvg, and an exchange of ours that is answered by itself.
"""

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _common import (
    AnonymousPeak,
    Row,
    anonymous_bytes,
    arguments,
    in_fresh_process,
    report,
    row,
)
from _studies import nodule_study, parameters, table_study, write_tables
from engine import MLP, ROWS, SITES

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
    mlp, mlp_ratio = measured("ray", "mlp", 20 if quick else 60, 1 if quick else 3)
    unet, unet_ratio = measured("ray", "unet", 3 if quick else 4, 1 if quick else 3)
    return [
        row("Ray, MLP, 4 sites: a round, against the local channel", mlp_ratio, "×", 2.0),
        row("Ray, MLP, 4 sites: a round", mlp, "ms"),
        row("Ray, 3D U-Net, 3 sites: a round, against the local channel", unet_ratio, "×", 1.05),
        row("Ray, 3D U-Net, 3 sites: a round", unet, "ms"),
    ]


def exchange_rows(quick: bool) -> list[Row]:
    """A round of next to no work, beside an exchange of Flower's own null app."""
    if not has_flower():
        return []
    from _flower import own_apps

    turns = 1 if quick else 2
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="medfed-carriers-") as name:
        study = table_study(2, 8, [])
        write_tables(Path(name), 2, 60)
        for _ in range(turns):
            ours.append(round_seconds(study, Path(name), engine="flower"))
            theirs.append(statistics.median(own_apps(2, 3 if quick else 4)))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return [
        row("Flower, 2 sites: an exchange, against Flower's own null app", ratio, "×", 1.3),
        row("Flower, 2 sites: an exchange", statistics.median(ours), "s"),
        row("Flower's own null app, 2 sites: an exchange", statistics.median(theirs), "s"),
    ]


def heart_rows(quick: bool) -> list[Row]:
    """Rounds of the heart study, beside an exchange without work plus the work without exchange."""
    if not has_flower():
        return []
    if "MEDFED_DATA" not in os.environ:
        print("Without MEDFED_DATA the rounds of the heart study are left out", file=sys.stderr)
        return []
    from _flower import null_exchange

    from medfed.core.study_file import read_study

    examples = Path(__file__).resolve().parent.parent / "examples"
    study = read_study(examples / "heart.toml").evolve(rounds=6 if quick else 16)
    data = Path(os.environ["MEDFED_DATA"])
    ratios, whole = [], []
    for _ in range(1 if quick else 3):
        null = null_exchange(len(study.sites), 8 if quick else 16)
        local = round_seconds(study, data)
        whole.append(round_seconds(study, data, engine="flower"))
        ratios.append(whole[-1] / (null + local))
    name = "Flower, heart study, 4 sites: a round"
    against = f"{name}, against a null exchange of ours and a local round"
    return [
        row(against, statistics.median(ratios), "×", 1.3),
        row(name, statistics.median(whole), "s"),
    ]


def large_rows(quick: bool) -> list[Row]:
    """Four sites with a large model: the coordinator's memory, and the time beside FedAvg's."""
    if not has_flower():
        return []
    from _flower import own_apps

    width = 1580 if quick else 5000
    megabytes = round(parameters([width, width]) * 4 / 1e6)
    ours = in_fresh_process(__file__, "large", str(width))
    size = f"4 sites × {megabytes} MB"
    rows = [
        row(f"Flower, {size}: coordinator's peak memory", ours["peak"] / 1e9, "GB", 0.6),
        row(f"Flower, {size}: a round", ours["round"], "s"),
    ]
    try:
        theirs = statistics.median(own_apps(4, 1 if quick else 2, megabytes))
    except TimeoutError as error:  # it has no limit to meet: ours above need not be lost for it
        print(f"{error}: left out", file=sys.stderr)
        return rows
    return [*rows, row(f"Flower's own FedAvg, {size}: a round", theirs, "s")]


def has_flower() -> bool:
    """Whether Flower is installed; says so if not."""
    found = find_spec("flwr") is not None
    if not found:
        print("Flower is not installed: left out", file=sys.stderr)
    return found


def large_run(width: int) -> dict[str, float]:
    """A run with a large model: seconds of a round, and this process's peak of memory."""
    with tempfile.TemporaryDirectory(prefix="medfed-carriers-") as name:
        study = table_study(4, 3, [width, width])
        write_tables(Path(name), 4, 60)
        before = anonymous_bytes()
        with AnonymousPeak() as peak:
            seconds = round_seconds(study, Path(name), engine="flower")
        return {"peak": before + peak.bytes, "round": seconds}


def main() -> None:
    if sys.argv[1:2] == ["large"]:
        print(json.dumps(large_run(int(sys.argv[2]))))
        return
    if sys.argv[1:2] == ["child"]:
        engine, model, rounds, turns = sys.argv[2:]
        print(json.dumps(run_child(engine, model, int(rounds), int(turns))))
        return
    parts = {"ray": ray_rows, "exchange": exchange_rows, "heart": heart_rows, "large": large_rows}
    parser = arguments(__doc__)
    parser.add_argument("--part", choices=parts, action="append", help="only this; may be repeated")
    given = parser.parse_args()
    rows = []
    for name in given.part or parts:
        found = parts[name](given.quick)
        rows += found
        for each in found:  # a later part may fail
            print(f"{each['name']}: {each['value']} {each['unit']}", file=sys.stderr)
    report(rows, as_json=given.json)


if __name__ == "__main__":
    main()
