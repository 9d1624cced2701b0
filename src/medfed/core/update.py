"""What crosses the wire and what a run continues from: `Update` and `State`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = Mapping[str, Array]
Stats = Mapping[str, Array]
Facts = Mapping[str, Any]

MODEL = "model"
"""The tensor group of the model itself: in an update, what training changes by gradient."""

BUFFERS = "buffers"
"""In an update, the model's other tensors (BatchNorm's counters and running statistics).

They are averaged as they are: a momentum, an adaptive step or a gradient correction at the
coordinator would drive a running variance below zero.
"""

EMPTY: Mapping[str, Any] = MappingProxyType({})


def grouped(group: str, tensors: Tensors) -> dict[str, Array]:
    """Name tensors as members of a group: ``fc.weight`` becomes ``model/fc.weight``."""
    return {f"{group}/{name}": value for name, value in tensors.items()}


def group(name: str, tensors: Tensors) -> dict[str, Array]:
    """The members of one group, under their own names again."""
    prefix = f"{name}/"
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


@dataclass(frozen=True, slots=True)
class Update:
    """What leaves a site; adds up.

    Attributes:
        tensors: Arrays named ``group/name``, already multiplied by their group's weight.
        weights: The weight of each group (SCAFFOLD weighs the model by patients, the control
            variates by 1).
        stats: Additive statistics: counts, sums, histograms.
    """

    tensors: Tensors = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    stats: Stats = field(default_factory=dict)

    def mean(self, name: str) -> dict[str, Array]:
        """The weighted mean of one tensor group, float32 or wider; empty if nobody sent it."""
        weight = self.weights.get(name, 0.0)
        if weight <= 0.0:
            return {}
        return {k: v / np.asarray(weight, v.dtype) for k, v in group(name, self.tensors).items()}


def add_stats(many: Iterable[Stats]) -> dict[str, Array]:
    """The sum of statistics; a name that some sites lack counts as zero there."""
    total: dict[str, Array] = {}
    for stats in many:
        for name, value in stats.items():
            array = np.asarray(value)
            total[name] = total[name] + array if name in total else array.copy()
    return total


def add_updates(many: Sequence[Update]) -> Update:
    """The sum of small updates, in the order given (large ones are summed from the spool)."""
    return Update(
        tensors=add_stats(u.tensors for u in many),
        weights={k: float(v) for k, v in add_stats(_arrays(u.weights) for u in many).items()},
        stats=add_stats(u.stats for u in many),
    )


def _arrays(weights: Mapping[str, float]) -> Stats:
    return {name: np.asarray(value, np.float64) for name, value in weights.items()}


Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
"""Shape and dtype of tensors, by name."""


def misfit(sent: Shapes, got: Shapes) -> str:
    """What is wrong with the form of an update, in words; empty when nothing is.

    Every tensor sent under ``model/`` must come back once, under ``model/`` or ``buffers/``;
    other groups (SCAFFOLD's ``control/``) may hold some of the same names. All have the shape of
    the model's tensor and its type in float32 or wider, or a narrower one (compression); whole
    numbers come as float64.
    """
    model = {k.removeprefix(f"{MODEL}/"): v for k, v in sent.items() if k.startswith(f"{MODEL}/")}
    for name, (shape, dtype) in got.items():
        base = name.partition("/")[2]
        if base not in model:
            return f"{name[:80]!r} belongs to no tensor that was sent"
        if shape != model[base][0]:
            return f"{name!r} has shape {list(shape)} and not {list(model[base][0])}"
        widest = _sum_type(model[base][1])
        if dtype.kind != "f" or dtype.itemsize > widest.itemsize:
            return f"{name!r} holds {dtype} and not {widest}"
    for name in model:
        if (f"{MODEL}/{name}" in got) == (f"{BUFFERS}/{name}" in got):
            return f"{name!r} must come back once, under {MODEL}/ or {BUFFERS}/"
    return ""


def odd_ones(stats: Mapping[str, Stats]) -> dict[str, str]:
    """Sites whose statistics have not the shape that most sites give them, and what is odd.

    Args:
        stats: For each site its statistics; of equally many shapes the first site's is right.
    """
    shapes: dict[str, Counter[tuple[int, ...]]] = {}
    for own in stats.values():
        for name, value in own.items():
            shapes.setdefault(name, Counter())[np.shape(value)] += 1
    usual = {name: counts.most_common(1)[0][0] for name, counts in shapes.items()}
    found = {}
    for site, own in stats.items():
        for name, value in own.items():
            if np.shape(value) != usual[name]:
                shape = f"{list(np.shape(value))} and not {list(usual[name])}"
                found[site] = f"the statistic {name[:80]!r} has shape {shape}"
                break
    return found


def _sum_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    floating = dtype.kind == "f"
    return np.result_type(dtype, np.float32) if floating else np.dtype(np.float64)


@dataclass(frozen=True, slots=True)
class State:
    """All a run needs to continue; the coordinator's checkpoint is exactly one State.

    Attributes:
        round: Rounds completed; 0 before the first.
        model: The global model, by tensor name.
        memory: What the strategy or aggregator carries: momentum, SCAFFOLD's control variate.
        counted: For each site, the last round whose reply was counted; its memory goes by it.
        facts: Federated facts (scaling, vocabularies) fitted before the first round.
        scores: The declared metric of each aggregate so far, by round, for stopping and choice.
        row: What is known of the round just finished; completed when its aggregate is scored.
        waiting: In an asynchronous run, sites at work and the aggregate each was sent, in order.
    """

    round: int
    model: Tensors
    memory: Tensors = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    row: Mapping[str, Any] = field(default_factory=dict)
    waiting: tuple[tuple[str, int], ...] = ()

    def evolve(self, **changes: Any) -> "State":
        """A copy with some fields changed."""
        return replace(self, **changes)
