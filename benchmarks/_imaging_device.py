"""What a GPU does with the same code: a whole CT, and training, in each precision, compiled or not.

Nothing is measured where there is no GPU: on a CPU the other groups say more.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch
from _common import Row, row
from _imaging_training import BATCH, task_of, training
from torch import nn

from medfed.core.task import Execution
from medfed.frameworks.tuning import machine
from medfed.imaging.geometry import Volume
from medfed.tasks.segmentation import NoduleSegmentation

SHAPE = (300, 512, 512)
SPACING = (1.0, 0.7, 0.7)


def device_rows(quick: bool) -> list[Row]:
    """The rows of the GPU, if there is one."""
    if not torch.cuda.is_available():
        return []
    task = replace(task_of(quick=quick, device="cuda"), spacing_mm=1.0, patch=64)
    shape = (100, 256, 256) if quick else SHAPE
    return list(rows_of(task, task.execution(), made_up(shape), "inductor"))


def rows_of(
    task: NoduleSegmentation, chosen: Execution, volume: Volume, backend: str
) -> Iterator[Row]:
    """The rows of a device, whatever it is.

    Args:
        task: What is learned, and how scans are prepared.
        chosen: Device and layout.
        volume: The scan to look at; all of it is looked at.
        backend: Of torch's compiler.
    """
    name = machine(chosen.device)
    plain, short = replace(chosen, precision="fp32"), replace(chosen, precision="bf16")
    for way, compiled in product((plain, short), (False, True)):
        how = f"{name}, {way.precision}{', compiled' if compiled else ''}"
        seconds, network = looked(task, way, volume, backend if compiled else None)
        voxels = np.prod(
            np.round(np.array(volume.shape) * volume.spacing_mm / (task.spacing_mm or 1.0))
        )
        yield row(f"{how}: a whole CT", seconds, "s")
        yield row(f"{how}: speed", float(voxels) / seconds / 1e6, "Mvoxel/s", better="higher")
        yield row(f"{how}: share of time in the network", 100 * network / seconds, "%")
        yield row(f"{how}: training", learned(task, way, compiled, backend), "patch/s")


def looked(
    task: NoduleSegmentation, way: Execution, volume: Volume, backend: str | None
) -> tuple[float, float]:
    """Seconds that a scan takes, and those of them in the network; the first does not count."""
    look = task.predictor(task.initial(1, {}), {}, way)
    if backend:
        look.module = torch.compile(look.module, backend=backend)  # type: ignore[assignment]  # it calls like a module
    clock = _Clock(look.module, way.device)
    look.module = clock
    lungs = np.zeros(volume.shape, bool)
    taken = []
    for _ in range(3):
        clock.seconds = 0.0
        start = time.perf_counter()
        look(volume, lungs, lambda *_: None)
        taken.append((time.perf_counter() - start, clock.seconds))
    return min(taken[1:])


def learned(task: NoduleSegmentation, way: Execution, compiled: bool, backend: str) -> float:
    """Patches that are learned from in a second, data included."""
    steps, seconds = 8, []
    run = training(task, way, steps, backend if compiled else None)
    for _ in range(4):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return steps * BATCH / statistics.median(seconds[1:])


class _Clock(nn.Module):
    """A network whose time is taken."""

    def __init__(self, network: nn.Module, device: str) -> None:
        super().__init__()
        self.network = network
        self.wait: Callable[[], object] = (
            torch.cuda.synchronize if device != "cpu" else lambda: None
        )
        self.seconds = 0.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.wait()
        start = time.perf_counter()
        found: torch.Tensor = self.network(images)
        self.wait()
        self.seconds += time.perf_counter() - start
        return found


def made_up(shape: tuple[int, int, int]) -> Volume:
    """A scan without lungs, all of which is looked at."""
    rng = np.random.default_rng(0)
    hu: Any = rng.integers(-950, 50, shape, dtype=np.int16)
    return Volume(hu, SPACING, (0.0, 0.0, 0.0))
