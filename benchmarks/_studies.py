"""Studies that the benchmarks run: tables and volumes of any size, made on the spot."""

import itertools
from pathlib import Path

import numpy as np

from medfed.core.registry import Part
from medfed.core.study import Study
from medfed.core.study_file import parse_study

FEATURES = 10


def names(sites: int) -> list[str]:
    return [f"site{i:03}" for i in range(sites)]


def write_tables(folder: Path, sites: int, rows: int) -> None:
    """One CSV a site: ten normal features and an outcome that depends on them."""
    folder.mkdir(parents=True, exist_ok=True)
    slope = np.random.default_rng(0).normal(size=FEATURES)
    header = ",".join([*(f"x{i}" for i in range(FEATURES)), "y"])
    for number, name in enumerate(names(sites)):
        rng = np.random.default_rng(number + 1)
        x = rng.normal(size=(rows, FEATURES))
        y = x @ slope + rng.normal(size=rows) > 0
        table = np.column_stack([x, y])
        np.savetxt(
            folder / f"{name}.csv", table, fmt="%.5g", delimiter=",", header=header, comments=""
        )


def table_study(
    sites: int, rounds: int, hidden: list[int], epochs: int = 1, steps: int | None = None
) -> Study:
    """A multilayer perceptron over tables of `write_tables`."""
    local = f"local_epochs = {epochs}" if steps is None else f"local_steps = {steps}"
    return parse_study(f"""
title = "Benchmark"
sites = {names(sites)!r}
rounds = {rounds}
[task]
name = "tabular-classification"
target = "y"
positive = "> 0"
numeric = {[f"x{i}" for i in range(FEATURES)]!r}
scaling = "none"
hidden = {hidden!r}
one_class = "train"
[source]
name = "csv"
file = "{{site}}.csv"
[split]
name = "hash"
test = 0.2
[strategy]
name = "fedavg"
{local}
batch_size = 32
lr = 0.05
""")


def parameters(hidden: list[int]) -> int:
    """Parameters of the perceptron."""
    widths = [FEATURES, *hidden, 1]
    return sum((a + 1) * b for a, b in itertools.pairwise(widths))


def nodule_study(folder: Path, rounds: int, patch: int = 16) -> Study:
    """The example's nodule study with 30 steps of each hospital a round, on a phantom made here.

    Args:
        folder: Where the phantom is made.
        rounds: Rounds of the study.
        patch: Voxels across a patch; the example's small one, or the task's own default of 32.
    """
    from medfed.connectors.phantom import make_phantom
    from medfed.core.study_file import read_study

    study = read_study(Path(__file__).resolve().parent.parent / "examples" / "nodules.toml")
    make_phantom(folder, hospitals=study.sites, patients=4, size="small", seed=7)
    steps = Part(study.strategy.name, {**study.strategy.options, "local_steps": 30})
    task = Part(study.task.name, {**study.task.options, "patch": patch})
    return study.evolve(rounds=rounds, strategy=steps, task=task)
