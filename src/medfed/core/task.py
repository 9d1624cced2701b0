"""The learning problem, and the local work that a strategy asks of a site."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from medfed.core.data import SetName, SiteData
from medfed.core.query import Query
from medfed.core.update import Array, Facts, Stats, Tensors


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval; bounds are None where none was computed."""

    value: float
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """As plain data."""
        return {"value": self.value, "low": self.low, "high": self.high}


Metrics = Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """How to train locally, once: the only words a strategy has for a training loop.

    Attributes:
        epochs: Passes over the training patients; ignored when ``steps`` is set.
        steps: Optimiser steps, or None.
        batch_size: Patients (or patches) a batch.
        optimizer: ``sgd`` or ``adam``.
        lr: Learning rate of this round.
        momentum: SGD's momentum.
        l2: Weight decay added to the gradient.
        proximal: µ of FedProx's ½µ‖w − anchor‖²; 0 for none.
        anchor: The point the proximal term pulls to.
        correction: Added to every gradient (SCAFFOLD's c − cᵢ), by tensor name.
        trainable: Patterns (fnmatch) of the tensors that may change; empty for all.
        labels: What names this piece of work's random stream: round, purpose.
    """

    epochs: int = 1
    steps: int | None = None
    batch_size: int = 32
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.0
    l2: float = 0.0
    proximal: float = 0.0
    anchor: Tensors = field(default_factory=dict)
    correction: Tensors = field(default_factory=dict)
    trainable: tuple[str, ...] = ()
    labels: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Trained:
    """What local training gave.

    Attributes:
        tensors: The trained model, all tensors.
        steps: Optimiser steps taken (FedNova and SCAFFOLD divide by it).
        loss_sum: Sum over examples seen of the loss, before each step.
        examples: How many examples that sum is over.
    """

    tensors: Tensors
    steps: int
    loss_sum: float
    examples: float


class LocalJob(Protocol):
    """One site's warm workplace for one study: data, model and caches, behind plain arrays."""

    patients: int
    """Training patients; the weight of this site's update."""

    def trainable(self) -> frozenset[str]:
        """Names of the tensors that training changes by gradient (not buffers)."""

    def train(self, start: Tensors, plan: LocalPlan) -> Trained:
        """Train from ``start`` as ``plan`` says."""

    def gradient(self, at: Tensors, l2: float = 0.0) -> tuple[Tensors, float]:
        """The gradient of the mean loss over all training patients, and the mean loss."""

    def evaluate(self, model: Tensors, on: SetName) -> Stats:
        """Additive statistics of a model on one set, ``loss`` among them; empty when the set is."""

    def explain(self, model: Tensors) -> Stats:
        """Additive statistics of how the test figures change without each input; may be empty."""


@runtime_checkable
class PatientJob(Protocol):
    """What a job may offer besides, so that a comparison need not open one job a patient."""

    def evaluate_each(self, model: Tensors, on: SetName) -> Sequence[Stats] | None:
        """What `LocalJob.evaluate` gives for every patient alone, in order; None if it cannot."""


@runtime_checkable
class WatchedJob(Protocol):
    """What a job may offer besides, where `LocalJob.evaluate` costs as much as a round's training.

    Its figures compare the rounds of a run with each other, and stop it or choose the best
    aggregate. The final figures always come from `LocalJob.evaluate`.
    """

    def watch(self, model: Tensors, on: SetName) -> Stats:
        """Statistics of the same names as `LocalJob.evaluate` gives, from a part of the set."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What must stay the same for the same bits: recorded in the checkpoint and reused.

    Attributes:
        threads: Threads that share one computation.
        precision: In what the network computes; its weights are float32 always.
        device: In PyTorch's words: ``cpu``, ``cuda``.
        layout: How images and kernels lie in memory: channel by channel, or voxel by voxel.
    """

    threads: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    device: str = "cpu"
    layout: Literal["contiguous", "channels_last"] = "contiguous"

    def to_json(self) -> dict[str, Any]:
        """As plain data; the usual layout goes without saying, as it did in earlier versions."""
        plain = asdict(self)
        if self.layout == "contiguous":
            del plain["layout"]
        return plain


class Task(Protocol):
    """A learning problem: data in, model, loss, metrics."""

    metric: ClassVar[str]
    """The metric shown first; a study may stop or choose by another."""
    higher_is_better: ClassVar[Mapping[str, bool]]
    """Every metric this task reports, and its good direction."""

    def prepare(self) -> Sequence[Query]:
        """Federated facts to fit first."""

    def initial(self, seed: int, facts: Facts) -> Tensors:
        """The untrained model; the same for the same seed and facts."""

    def job(self, data: SiteData, facts: Facts, seed: int, execution: Execution) -> LocalJob:
        """Open a site's workplace.

        Raises:
            DataError: The site's data cannot serve this task.
        """

    def execution(self) -> Execution:
        """What this machine should use for a new run of this task."""

    def summarise(self, total: Stats, *, intervals: bool = False) -> Metrics:
        """Metrics from summed statistics; with bootstrap intervals on request."""

    def importance(self, total: Stats) -> Mapping[str, Interval]:
        """What each input is worth, from summed `LocalJob.explain` statistics; may be empty."""

    def describe(self, facts: Facts) -> Mapping[str, Any]:
        """Words for the model card: model, inputs, outputs, parameters."""


@runtime_checkable
class CalibratedTask(Protocol):
    """What a task may offer besides, whose model gives scores that are no probabilities."""

    def calibration(self, total: Stats) -> Mapping[str, Any] | None:
        """What scores are worth, from summed `LocalJob.explain` statistics, as plain data.

        ``patients`` says on how many it was measured; ``scores`` and ``observed`` are the curve.
        Without a curve a ``reason`` says why. None where nobody was held out to measure it on.
        """


@runtime_checkable
class NamedTask(Protocol):
    """What a task may offer besides, so that a strategy's fit is known as a study is written."""

    def tensor_names(self) -> Sequence[str]:
        """Names of the model's tensors, which no data change."""


@runtime_checkable
class ManyFigures(Protocol):
    """What a task may offer besides, so that a bootstrap is quick."""

    def figures(self, totals: Stats) -> Mapping[str, Array]:
        """The metrics of many totals at once (one more axis in front); NaN where undefined."""
