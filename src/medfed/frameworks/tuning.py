"""The quickest way to train a network on this machine: measured once, then remembered.

Whether bfloat16 and voxel-by-voxel layout pay depends on the processor, the library and the
network, and no table of processors says it. So a training step is timed each way the first time a
network is met, and the choice is kept in the user's cache folder. The first to write it decides:
all later runs on this machine compute alike. Where nothing can be kept nothing is measured, and
the plain way is taken, so that two runs do not differ by a measurement's noise.

A processor is timed by the time it spends on one thread: that hardly changes when other programs
want it too, where threads that wait for each other would take many times as long.
"""

import contextlib
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medfed.core.files import canonical_json, write_json
from medfed.core.task import Execution
from medfed.frameworks.execution import autocast, lay_out, repeatable
from medfed.frameworks.torch_job import seeded_build

TURNS = 3
ENOUGH = 3.0
"""Seconds after which no further turn begins; a network that takes long is timed well by one."""
HOPELESS = 1.5
"""How many times the best a way may take before it is timed no further."""
WORTH = 0.95
"""What part of the plain way's time another must not exceed to be preferred."""


def ways(device: str, precision: str, threads: int) -> list[Execution]:
    """The ways to compute that an order allows; the first is the plain one.

    Args:
        device: ``cpu``, ``cuda``, or ``auto``: the GPU where there is one.
        precision: ``fp32``, ``bf16``, or ``auto``: both, where the device multiplies bfloat16 in
            hardware.
        threads: For the CPU.
    """
    where = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    plain, short = Execution(threads, "fp32", where), Execution(threads, "bf16", where)
    if precision == "auto":
        allowed = [plain, short] if has_bf16(where) else [plain]
    else:
        allowed = [short if precision == "bf16" else plain]
    return [*allowed, *(replace(way, layout="channels_last") for way in allowed)]


def has_bf16(device: str) -> bool:
    """Whether a device multiplies bfloat16 in hardware."""
    if device != "cpu":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return has_amx() or _cpu_has("_is_avx512_bf16_supported")


def has_amx() -> bool:
    """Whether this processor multiplies tiles of bfloat16 at once."""
    return _cpu_has("_is_amx_tile_supported")


def quickest(
    build: Callable[[], nn.Module], shape: Sequence[int], choices: Sequence[Execution]
) -> Execution:
    """The way to train a network in which a step takes least time on this machine.

    Args:
        build: Makes the network.
        shape: Of a batch of training.
        choices: The ways to try, `ways`; the first is taken unless another is worth it.
    """
    if not _here(choices[0].device):
        return choices[0]
    module = seeded_build(build, 0)
    about = _about(module, shape, choices)
    file = folder() / f"{hashlib.sha256(canonical_json(about)).hexdigest()[:24]}.json"
    known = _remembered(file, choices)
    if known is None and _can_keep(file):
        seconds = measured(module, shape, choices)
        _keep(file, {**about, "seconds": seconds, "chosen": best(seconds)})
        known = _remembered(file, choices)  # another process may have been the first
    return known or choices[0]


def folder() -> Path:
    """Where choices are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "medfed" / "tuning"


def best(seconds: Sequence[float]) -> int:
    """The place of the quickest way, or 0 where it is hardly quicker than the plain one."""
    place = min(range(len(seconds)), key=seconds.__getitem__)
    return place if seconds[place] < WORTH * seconds[0] else 0


def measured(module: nn.Module, shape: Sequence[int], choices: Sequence[Execution]) -> list[float]:
    """Seconds of a training step, the least of some turns, each way in its turn.

    The first turn does not count. A way that takes far longer than the best is timed once. Seconds
    are of one thread of the processor, or of the clock where something else computes.
    """
    example = torch.linspace(0, 1, torch.Size(shape).numel()).reshape(tuple(shape))
    least = [float("inf")] * len(choices)
    began = time.perf_counter()
    with _one_thread():
        for turn in range(1 + TURNS):
            if turn > 1 and time.perf_counter() - began > ENOUGH:
                break
            limit = HOPELESS * min(least)
            for place, way in enumerate(choices):
                if turn < 2 or least[place] <= limit:
                    took = _step(module, example, way)
                    least[place] = min(least[place], took) if turn else least[place]
    return least


def _step(module: nn.Module, example: torch.Tensor, way: Execution) -> float:
    network, images = lay_out(module, way).train(), example.to(way.device)
    clock = time.thread_time if way.device == "cpu" else time.perf_counter
    with torch.enable_grad(), repeatable(way):
        start = clock()
        with autocast(way):
            found = network(images)
        found.float().square().mean().backward()
        if way.device != "cpu":
            torch.cuda.synchronize()
        took = clock() - start
    network.zero_grad(set_to_none=True)
    return took


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def _about(module: nn.Module, shape: Sequence[int], choices: Sequence[Execution]) -> dict[str, Any]:
    """All that the choice depends on, in plain data."""
    return {
        "machine": machine(choices[0].device),
        "torch": torch.__version__,
        "network": hashlib.sha256(repr(module).encode()).hexdigest(),
        "batch": list(shape),
        "ways": [{**way.to_json(), "layout": way.layout} for way in choices],
    }


def machine(device: str = "cpu") -> str:
    """What computes, by name: the GPU, or the processor, its extensions and its cores."""
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    extensions = torch.backends.cpu.get_cpu_capability() + (" AMX" if has_amx() else "")
    return f"{_processor()}, {extensions}, {os.cpu_count()} cores"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cpu_has(check: str) -> bool:
    known = getattr(torch.cpu, check, None)  # not public: another torch may have another name
    return known is not None and bool(known())


def _here(device: str) -> bool:
    """Whether this machine has the device; the sites may have it where the coordinator has not."""
    return device == "cpu" or torch.cuda.is_available()


def _can_keep(file: Path) -> bool:
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)  # it is there only if it is damaged
        return os.access(file.parent, os.W_OK)
    return False


def _keep(file: Path, value: dict[str, Any]) -> None:
    """Write a file, whole, unless another process has."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        write_json(part, value, durable=False)
        try:
            file.hardlink_to(part)
        finally:
            part.unlink()


def _remembered(file: Path, choices: Sequence[Execution]) -> Execution | None:
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return choices[json.loads(file.read_bytes())["chosen"]]
    return None
