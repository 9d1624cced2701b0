"""What a training step costs: beside the bare step, and in other precisions and layouts."""

import itertools
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from _common import Row, ratio, row, timings
from _imaging import made_site

from medfed.core.task import Execution, LocalPlan
from medfed.frameworks.execution import autocast, for_looking, lay_out
from medfed.frameworks.tuning import has_amx
from medfed.tasks.segmentation import NoduleSegmentation

BATCH = 8
STEPS = 6
TURNS = 7
AMX, OTHER = 2.0, 0.95
"""How much quicker the default must be than the plain way, by processor."""


def task_of(*, quick: bool, device: str = "auto") -> NoduleSegmentation:
    """The task as a study has it by default; a smaller network where time is short."""
    filters = (8, 16, 32) if quick else (16, 32, 64, 128)
    return NoduleSegmentation(filters=filters, crop=False, device=device)


def step_rows(quick: bool) -> list[Row]:
    """A step with its data, against the same step on tensors that lie in memory."""
    task = task_of(quick=quick)
    execution = task.execution()
    ours = training(task, execution, 3 if quick else STEPS)
    bare = bare_training(task, execution, 3 if quick else STEPS)
    took = timings({"ours": ours, "bare": bare}, 3 if quick else TURNS)
    per_step = statistics.median(took["ours"]) / (3 if quick else STEPS)
    what = f"training step ({BATCH} patches of {task.patch}³)"
    return [
        row(f"{what}, data included: against the bare step", ratio(*took.values()), "×", 1.10),
        row(f"{what}: time", 1e3 * per_step, "ms"),
    ]


def training(
    task: NoduleSegmentation, execution: Execution, steps: int, compiler: str | None = None
) -> Callable[[], object]:
    """Some steps as a site takes them: patches drawn, varied, and learned from."""
    job = task.job(made_site(), {}, 1, execution)
    if compiler:
        job.module.compile(backend=compiler)
    start = task.initial(1, {})
    plan = LocalPlan(steps=steps, batch_size=BATCH, optimizer="adam", lr=1e-3, labels=("bench",))
    return lambda: job.train(start, plan)


def bare_training(
    task: NoduleSegmentation, execution: Execution, steps: int
) -> Callable[[], object]:
    """The loop one would write by hand, on the same network and batches made beforehand."""
    network = lay_out(task.build(), execution).train()
    job = task.job(made_site(), {}, 1, execution)
    batches: list[Any] = list(itertools.islice(job.sets["train"].batches(None, BATCH), 2))
    batches = [[part.to(execution.device) for part in batch] for batch in batches]
    loss, learn = task.loss(), torch.optim.Adam(network.parameters(), lr=1e-3)

    def run() -> float:
        torch.set_num_threads(execution.threads)
        total = 0.0
        for _, batch in zip(range(steps), itertools.cycle(batches), strict=False):
            learn.zero_grad()
            with autocast(execution):
                values = loss(network, batch)
            torch.autograd.backward(values.mean())
            learn.step()
            total += float(values.detach().sum())
        return total

    return run


def precision_rows(quick: bool) -> list[Row]:
    """The default way, against plain float32: a training step, and a window of a prediction."""
    task = task_of(quick=quick)
    chosen = task.execution()
    plain = replace(chosen, precision="fp32", layout="contiguous")
    ways = {"plain": plain, "chosen": chosen}
    steps = {name: training(task, way, 2) for name, way in ways.items()}
    edge = 48 if quick else task.roi
    looks = {name: forward(task, for_looking(way), edge) for name, way in ways.items()}
    limit = AMX if chosen.device == "cpu" and has_amx() else OTHER
    found = []
    for what, functions in {"training": steps, "prediction": looks}.items():
        way = chosen if what == "training" else for_looking(chosen)
        how = f"{way.precision} {way.layout} against plain fp32".replace("_", " ")
        took = timings(functions, 3 if quick else 5)
        times = ratio(took["plain"], took["chosen"])
        found.append(row(f"{what}: {how}", times, "×", limit, "higher"))
    return found


def forward(task: NoduleSegmentation, execution: Execution, edge: int) -> Callable[[], object]:
    """One window through the network."""
    network = lay_out(task.build(), execution).eval()
    window = torch.linspace(0, 1, edge**3).reshape(1, 1, edge, edge, edge).to(execution.device)

    def run() -> torch.Tensor:
        torch.set_num_threads(execution.threads)
        with torch.inference_mode(), autocast(execution):
            found: torch.Tensor = network(window)
            if execution.device != "cpu":
                torch.cuda.synchronize()
            return found

    return run
