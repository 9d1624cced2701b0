"""What the local engine costs: beside the bare training loop, beside Flower's simulation, at scale.

Every figure is taken in a fresh process. "Outside training" is what a round takes beyond
`Strategy.train`: orders, signatures, scoring the aggregate, spool, receipts, sum, checkpoint, row.
The bare loop trains, scores and averages the same jobs in memory and keeps nothing.
"""

import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _common import AnonymousPeak, Row, anonymous_bytes, arguments, in_fresh_process, report, row
from _studies import nodule_study, parameters, table_study, write_tables

from medfed.core.data import SetName, SiteData
from medfed.core.events import Event, RoundFinished
from medfed.core.registry import make
from medfed.core.study import Study
from medfed.core.update import add_updates

SITES = 4
ROWS = 1000
MLP = [32]
LARGE = 900_000
"""Parameters from which a round's cost is that of its tensors, and no longer the floor below it."""
STARTED = "MEDFED_BENCH_STARTED"
WATCH = "MEDFED_BENCH_WATCH"


def measured_run(study: Study, data: Path | None, out: Path) -> dict[str, float]:
    """Run a study in this process: medians of a round, or the peak of anonymous memory."""
    from medfed.frameworks.torch_job import TorchJob
    from medfed.services import runs
    from medfed.strategies.fedavg import FedAvg

    ends: list[float] = []
    spent = {"training": 0.0, "scoring": 0.0}
    history: dict[str, list[float]] = {name: [] for name in spent}

    def timed(plain: Callable[..., Any], what: str) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            start = time.perf_counter()
            try:
                return plain(*given)
            finally:
                spent[what] += time.perf_counter() - start

        return run

    def listen(event: Event) -> None:
        if isinstance(event, RoundFinished):
            ends.append(time.perf_counter())
            for name, value in spent.items():
                history[name].append(value)
            spent.update(dict.fromkeys(spent, 0.0))

    # Measuring sticks, put in from outside.
    setattr(FedAvg, "train", timed(FedAvg.train, "training"))  # noqa: B010
    setattr(TorchJob, "watch", timed(TorchJob.watch, "scoring"))  # noqa: B010  # mypy refuses a plain assignment
    with watched() as peak:
        runs.start(study, runs.RunOptions(out=out, data=data, report=False), on_event=listen)
    # From one aggregate to the next: the checkpoint and the row of the round before are in it.
    rounds = [b - a for a, b in itertools.pairwise(ends)]
    outside = [r - t for r, t in zip(rounds, history["training"][1:], strict=True)]
    engine = [o - s for o, s in zip(outside, history["scoring"][1:], strict=True)]
    return {
        "round": statistics.median(rounds),
        "outside": statistics.median(outside),
        "engine": statistics.median(engine),
        "peak": float(peak()),
        "first": first_result(ends[0]),
    }


def bare_run(study: Study, data: Path | None) -> dict[str, float]:
    """The loop one would write by hand around the very same jobs."""
    import numpy as np

    from medfed.core.strategy import Turn
    from medfed.core.update import group, grouped

    task, strategy = study.make_task(), make("strategy", study.strategy)
    seconds, ends = [], []
    with watched() as peak:
        places = [site_data(study, data, site) for site in study.sites]
        facts = facts_of(study, places)
        jobs: list[Any] = [task.job(place, facts, study.seed, task.execution()) for place in places]
        model = dict(task.initial(study.seed, facts))
        # The set that the round loop scores on: both sides do the same work.
        scored: SetName = "valid" if study.split.options.get("valid") else "test"
        for number in range(1, study.rounds + 1):
            start = time.perf_counter()
            total: dict[str, Any] = {}
            weight = 0.0
            turn = Turn(number, study.rounds, len(study.sites))
            for job in jobs:
                job.watch(model, scored)
                update, _ = strategy.train(grouped("model", model), {}, job, turn)
                weight += job.patients
                for name, delta in update.tensors.items():
                    total[name] = total[name] + delta if name in total else delta
            mean = group("model", {name: value / weight for name, value in total.items()})
            model = {name: value + np.float32(1) * mean[name] for name, value in model.items()}
            ends.append(time.perf_counter())
            seconds.append(ends[-1] - start)
        for job in jobs:  # the figures that a run ends with, on whole scans
            job.evaluate(model, "test")
    return {
        "round": statistics.median(seconds),
        "peak": float(peak()),
        "first": first_result(ends[0]),
    }


def flower_run(study: Study, data: Path) -> dict[str, float]:
    """The same jobs under Flower's simulation engine, its own FedAvg at the coordinator."""
    from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation

    from medfed.core.task import LocalPlan

    for name in ("flwr", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    task = study.make_task()
    facts = facts_of(study, [site_data(study, data, site) for site in study.sites])
    ends: list[float] = []
    client = ClientApp()
    warm: dict[int, Any] = {}
    options = study.strategy.options

    def job_of(context: Context) -> Any:
        number = int(context.node_config["partition-id"])
        if number not in warm:
            place = site_data(study, data, study.sites[number])
            warm[number] = task.job(place, facts, study.seed, task.execution())
        return warm[number]

    def read(message: Message) -> dict[str, Any]:
        arrays = message.content.array_records["arrays"]
        return {name: array.numpy() for name, array in arrays.items()}

    @client.train()
    def train(message: Message, context: Context) -> Message:
        job = job_of(context)
        plan = LocalPlan(options["local_epochs"], None, options["batch_size"], "sgd", options["lr"])
        trained = job.train(read(message), plan)
        from flwr.app import Array

        arrays = ArrayRecord({name: Array(value) for name, value in trained.tensors.items()})
        metrics = MetricRecord({"num-examples": job.patients})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    @client.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        job = job_of(context)
        stats = job.evaluate(read(message), "test")
        metrics = MetricRecord({"num-examples": job.patients, "loss": float(stats["loss"][0])})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        del context
        from flwr.app import Array

        first = ArrayRecord({k: Array(v) for k, v in task.initial(study.seed, facts).items()})

        def note(number: int, _: Any) -> None:
            if number:
                ends.append(time.perf_counter())

        FedAvg(min_available_nodes=SITES).start(
            grid, first, num_rounds=study.rounds, evaluate_fn=note
        )

    run_simulation(
        server, client, num_supernodes=SITES, backend_config={"client_resources": {"num_cpus": 1}}
    )
    rounds = [b - a for a, b in itertools.pairwise(ends)]
    return {"round": statistics.median(rounds), "first": first_result(ends[0])}


@contextmanager
def watched() -> Iterator[Callable[[], int]]:
    """The peak of anonymous memory, interpreter included; 0 unless asked for.

    Sampling it takes turns with the work for the interpreter, so a process is timed or watched.
    """
    if WATCH not in os.environ:
        yield lambda: 0
        return
    before = anonymous_bytes()
    with AnonymousPeak() as peak:
        yield lambda: before + peak.bytes


def site_data(study: Study, data: Path | None, site: str) -> SiteData:
    """A site's data, opened and split as the site itself would."""
    source = make("source", study.source).open(data, site, study.sites)
    return SiteData.split(site, source, make("split", study.split), study.seed)


def facts_of(study: Study, places: list[SiteData]) -> dict[str, Any]:
    """The federated facts, summed in memory."""
    facts: dict[str, Any] = {}
    for query in study.make_task().prepare():
        step: Any = query
        while not isinstance(step, dict):
            step = step.next(add_updates([step.local(place, facts) for place in places]))
        facts[query.fact] = step
    return facts


def first_result(at: float) -> float:
    """Seconds from the start of this process, imports included, to a moment of perf_counter."""
    return time.time() - float(os.environ[STARTED]) - (time.perf_counter() - at)


def child(mode: str, *words: str) -> Any:
    os.environ[STARTED] = str(time.time())
    return in_fresh_process(__file__, "child", mode, *words)


def peak_ratio(kind: str, words: list[str]) -> float:
    """Anonymous memory at the peak of a run, against the bare loop's; libraries in both."""
    os.environ[WATCH] = "1"
    try:
        return float(child(f"{kind}-run", *words)["peak"] / child(f"{kind}-bare", *words)["peak"])
    finally:
        del os.environ[WATCH]


def run_child(mode: str, words: list[str]) -> dict[str, float]:
    """One measurement, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="medfed-engine-") as name:
        folder = Path(name)
        if mode.startswith("unet"):
            study, data = nodule_study(folder / "data", *map(int, words)), folder / "data"
        else:
            sites, rounds, rows, *hidden = map(int, words)
            epochs = 1
            study = table_study(sites, rounds, hidden, epochs)
            data = folder / "data"
            write_tables(data, sites, rows)
        how: dict[str, Callable[[], dict[str, float]]] = {
            "run": lambda: measured_run(study, data, folder / "run"),
            "bare": lambda: bare_run(study, data),
            "flower": lambda: flower_run(study, data),
        }
        return how[mode.partition("-")[2]]()


def overhead_rows(quick: bool) -> list[Row]:
    """Beside the bare loop: the small MLP and the small 3D U-Net."""
    words = [str(w) for w in (SITES, 12 if quick else 60, ROWS, *MLP)]
    ours, bare = child("mlp-run", *words), child("mlp-bare", *words)
    rows = [
        row("MLP, 4 sites: a round outside training", ours["outside"] * 1e3, "ms", 15.0),
        row("MLP, 4 sites: the same, without scoring tables", ours["engine"] * 1e3, "ms"),
        row("MLP, 4 sites: a round, against the bare loop", ours["round"] / bare["round"], "×"),
        row(
            "MLP, 4 sites: peak memory, against the bare loop", peak_ratio("mlp", words), "×", 1.15
        ),
    ]
    rounds = "3" if quick else "5"
    return [
        *rows,
        *unet_shares("3D U-Net on small patches, 3 sites", [rounds]),
        *unet_shares("3D U-Net, 3 sites", ["3", "32"]),
        row(
            "3D U-Net on small patches, 3 sites: peak memory, against the bare loop",
            peak_ratio("unet", [rounds]),
            "×",
            1.15,
        ),
    ]


def unet_shares(name: str, words: list[str]) -> list[Row]:
    """What a round takes beside training, in hundredths of the round.

    Within one process: two of them differ by more than the limit on a busy machine.
    """
    ours = child("unet-run", *words)
    outside, engine = (100 * ours[what] / ours["round"] for what in ("outside", "engine"))
    return [
        row(f"{name}: share of a round outside training", outside, "%", 3.0),
        row(f"{name}: the same, without scoring volumes", engine, "%"),
    ]


def flower_rows(quick: bool) -> list[Row]:
    """Beside Flower's simulation engine, on the same jobs."""
    if find_spec("flwr") is None or find_spec("ray") is None:
        print("Flower's simulation is not installed: left out", file=sys.stderr)
        return []
    words = [str(w) for w in (SITES, 4 if quick else 8, ROWS, *MLP)]
    # Taking turns, and the medians: starting a process is what varies most from time to time.
    pairs = [
        (child("mlp-run", *words), child("mlp-flower", *words)) for _ in range(1 if quick else 3)
    ]
    per_round, first = (
        statistics.median(theirs[name] / ours[name] for ours, theirs in pairs)
        for name in ("round", "first")
    )
    return [
        row("Flower's simulation: a round, against ours", per_round, "×", 4.0, "higher"),
        row("Flower's simulation: first result, against ours", first, "×", 5.0, "higher"),
    ]


def scaling_rows(quick: bool) -> list[Row]:
    """Cost as work grows: sites, and parameters; the exponent of a straight line in log-log."""
    rows: list[Row] = []
    sites = (2, 20) if quick else (2, 10, 50, 200)
    cost = {n: child("mlp-run", str(n), "4", "60", *map(str, MLP))["outside"] for n in sites}
    rows += [row(f"{n} sites: a round outside training", s * 1e3, "ms") for n, s in cost.items()]
    rows.append(row("Growth with sites (exponent)", slope(cost), "", 1.1))
    widths = (28, 300, 990) if quick else (28, 310, 995, 3155, 9995)
    cost = {}
    for width in widths:
        hidden = [width, width]
        run = child("mlp-run", "2", "3", "60", *map(str, hidden))
        cost[parameters(hidden)] = run["outside"]
        name = f"{parameters(hidden):.1e} parameters, 2 sites: a round outside training"
        rows.append(row(name, run["outside"] * 1e3, "ms"))
    large = {size: seconds for size, seconds in cost.items() if size >= LARGE}
    rows.append(row("Growth with parameters (exponent), from 10⁶ on", slope(large), ""))
    return rows


def slope(cost: dict[int, float]) -> float:
    """Slope of log cost over log size, by least squares."""
    import numpy as np

    return float(np.polyfit(np.log(list(cost)), np.log(list(cost.values())), 1)[0])


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        import json

        print(json.dumps(run_child(sys.argv[2], sys.argv[3:])))
        return
    given = arguments(__doc__).parse_args()
    rows = [*overhead_rows(given.quick), *flower_rows(given.quick), *scaling_rows(given.quick)]
    report(rows, as_json=given.json)


if __name__ == "__main__":
    main()
