"""PyTorch behind `medfed.core.task.LocalJob`: the only PyTorch training loop there is."""

import contextlib
import copy
import fnmatch
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import nn

from medfed.core.data import SetName
from medfed.core.errors import Refused
from medfed.core.seeding import derive, generator
from medfed.core.task import Execution, LocalPlan, Trained
from medfed.core.update import Array, Stats, Tensors
from medfed.frameworks.examples import Examples, Planned, Separable, to_device
from medfed.frameworks.execution import autocast, for_looking, lay_out, repeatable
from medfed.frameworks.held import Held, fitting
from medfed.frameworks.optimizers import Optimizer
from medfed.frameworks.prefetch import ahead

B = TypeVar("B")
T = TypeVar("T")

FEEDERS = 4
"""Threads that make batches for a GPU; on the CPU the network needs the cores."""

Evaluate = Callable[[nn.Module, Examples[B]], Stats]


@dataclass(frozen=True)
class Learning(Generic[B]):
    """What a task teaches a loop: how wrong a model is, and what its figures are.

    Attributes:
        loss: One value per example of a batch, in training.
        evaluate: Additive statistics of a model on a set; called in evaluation mode.
        watch: The same from a part of the set, to score rounds by; None to use ``evaluate``.
        explain: Additive statistics of what each input is worth on the test set, with a seed.
        full_batch: Examples at a time for the gradient over all patients: bounds its memory.
    """

    loss: Callable[[nn.Module, B], torch.Tensor]
    evaluate: Evaluate[B]
    watch: Evaluate[B] | None = None
    explain: Callable[[nn.Module, Examples[B], int], Stats] | None = None
    full_batch: int = 4096


class TorchJob(Generic[B]):
    """One site's warm workplace for a PyTorch model.

    A call's result depends on its arguments only: each starts from the tensors it is given, with a
    fresh optimiser and its own random stream. Master weights are float32 whatever the precision.

    Args:
        site: The site's name; it starts the site's random streams.
        module: The model; owned by the job from now on.
        sets: The site's patients by set, served in batches on any device.
        learning: Loss, evaluation and explanation.
        seed: The study's seed.
        execution: Threads, precision and device.
    """

    def __init__(
        self,
        site: str,
        module: nn.Module,
        sets: Mapping[SetName, Examples[B]],
        learning: Learning[B],
        seed: int,
        execution: Execution,
    ) -> None:
        self.site = site
        self.sets = sets
        self.learning = learning
        self.seed = seed
        self.execution = execution
        self.device = _device(execution)
        self.module = lay_out(module, execution)
        self.patients = len(sets["train"])
        self._held = Held(self.module)
        self._parameters = dict(self.module.named_parameters())

    def trainable(self) -> frozenset[str]:
        """Names of the tensors that training changes by gradient."""
        return frozenset(self._parameters)

    def train(self, start: Tensors, plan: LocalPlan) -> Trained:
        """Train from ``start`` as ``plan`` says.

        Raises:
            Refused: ``not-finite`` when the loss or the model diverges, ``malformed-order`` when
                tensors of the start or the plan do not fit the model.
        """
        labels = (self.site, *plan.labels)
        with self._at_work(derive(self.seed, *labels, "torch")):
            self._held.load(start)
            parameters = self._prepare(plan)
            steps, loss_sum, examples = self._loop(parameters, plan, generator(self.seed, *labels))
            return Trained(self._held.read(), steps, loss_sum, examples)

    def gradient(self, at: Tensors, l2: float = 0.0) -> tuple[Tensors, float]:
        """The gradient of the mean loss over all training patients, and the mean loss.

        The model is in evaluation mode, so that nothing is random. ``l2`` adds l2·w to the
        gradient; the loss is given without the penalty.
        """
        with self._at_work(derive(self.seed, self.site, "gradient")):
            self._held.load(at)
            self.module.eval()
            for parameter in self._parameters.values():
                parameter.requires_grad_(True)
            loss_sum, examples = self._full_pass()
            _check_finite(loss_sum)
            named = self._parameters.items()
            gradients = {k: self._mean_gradient(p, examples, l2) for k, p in named}
            return gradients, loss_sum / max(examples, 1.0)

    def evaluate(self, model: Tensors, on: SetName) -> Stats:
        """Additive statistics of a model on one set; empty when the set is."""
        return self._evaluated(self.learning.evaluate, model, on)

    def _evaluated(self, how: Evaluate[B], model: Tensors, on: SetName) -> Stats:
        examples = self.sets.get(on)
        if not examples:
            return {}
        with self._looking(model, "evaluate") as module:
            return how(module, examples)

    def watch(self, model: Tensors, on: SetName) -> Stats:
        """Additive statistics that score a round; see `medfed.core.task.WatchedJob`."""
        return self._evaluated(self.learning.watch or self.learning.evaluate, model, on)

    def evaluate_each(self, model: Tensors, on: SetName) -> list[Stats] | None:
        """What `evaluate` gives for every patient alone; None where the set cannot be parted."""
        examples: Any = self.sets.get(on)  # whether it is Separable shows at run time only
        if not isinstance(examples, Separable):
            return None
        with self._looking(model, "evaluate") as module:
            return [self.learning.evaluate(module, one) for one in examples.each()]

    def explain(self, model: Tensors) -> Stats:
        """Additive statistics of what each input is worth on the test patients."""
        examples = self.sets.get("test")
        if self.learning.explain is None or not examples:
            return {}
        with self._looking(model, "explain") as module:
            seed = derive(self.seed, self.site, "explain")
            return self.learning.explain(module, examples, seed)

    def _loop(
        self, parameters: Mapping[str, nn.Parameter], plan: LocalPlan, rng: np.random.Generator
    ) -> tuple[int, float, float]:
        pull = Pull(self, parameters, plan)
        optimizer = Optimizer(list(parameters.values()), plan)
        steps, loss_sum, examples = 0, 0.0, 0.0
        with contextlib.closing(self._served(plan, rng)) as served:
            for batch in served:
                for parameter in parameters.values():
                    parameter.grad = None
                values = self._loss(batch)
                values.mean().backward()
                with torch.no_grad():
                    pull.add()
                    optimizer.step()
                steps += 1
                examples += values.numel()
                loss_sum += float(values.detach().sum())
                _check_finite(loss_sum)
        return steps, loss_sum, examples

    def _served(self, plan: LocalPlan, rng: np.random.Generator) -> Generator[B, None, None]:
        """The batches of all passes that the plan asks for; made in the background if they may."""
        train: Any = self.sets["train"]  # whether it is Planned shows at run time only
        if not len(train):
            return
        if isinstance(train, Planned):
            threads = 1 if self.device.type == "cpu" else FEEDERS
            yield from ahead(_passes(plan, lambda: train.makers(rng, plan.batch_size)), threads)
        else:
            yield from _passes(plan, lambda: train.batches(rng, plan.batch_size))

    def _loss(self, batch: B) -> torch.Tensor:
        with self._precision():
            values = self.learning.loss(self.module, to_device(batch, self.device))
        return values.float()

    def _full_pass(self) -> tuple[float, float]:
        loss_sum, examples = 0.0, 0.0
        for batch in self.sets["train"].batches(None, self.learning.full_batch):
            values = self._loss(batch)
            total = values.sum()
            total.backward()
            loss_sum += float(total.detach())
            examples += values.numel()
        return loss_sum, examples

    @staticmethod
    def _mean_gradient(parameter: nn.Parameter, examples: float, l2: float) -> Array:
        total = parameter.grad
        mean = torch.zeros_like(parameter) if total is None else total / max(examples, 1.0)
        if l2:
            mean = mean.add(parameter.detach(), alpha=l2)
        array: Array = mean.detach().cpu().numpy()
        return array

    def _prepare(self, plan: LocalPlan) -> dict[str, nn.Parameter]:
        """Set modes and freeze what the plan leaves alone; the parameters that may change."""
        chosen = _chosen(self._held.tensors, plan.trainable)
        self.module.train()
        if plan.trainable:
            for prefix, module in self.module.named_modules():
                own = [f"{prefix}.{k}".lstrip(".") for k, _ in module.named_buffers(recurse=False)]
                if own and not any(name in chosen for name in own):
                    module.eval()  # running statistics that must not change
        for name, parameter in self._parameters.items():
            parameter.requires_grad_(name in chosen)
        free = {k: p for k, p in self._parameters.items() if k in chosen}
        if not free:
            known = ", ".join(self._parameters)
            message = f"no parameter of the model is called {' or '.join(plan.trainable)}"
            raise Refused("malformed-order", message, remedy=f"The model has: {known}")
        return free

    def placed(self, tensors: Tensors, name: str, what: str) -> torch.Tensor:
        """One tensor of an order, checked and on the device.

        Raises:
            Refused: It is missing or does not fit the model.
        """
        given = fitting(tensors, name, tuple(self._held.tensors[name].shape), what)
        # A copy: arrays that came over the wire are read-only, which torch does not know.
        return torch.tensor(given, dtype=self._held.tensors[name].dtype, device=self.device)

    @contextlib.contextmanager
    def _looking(self, model: Tensors, label: str) -> Iterator[nn.Module]:
        """A model in evaluation mode, laid out as it looks quickest; nothing is learnt."""
        with self._at_work(derive(self.seed, self.site, label)), torch.inference_mode():
            self._looker.load(model)
            with self._precision():
                yield self._looker.module.eval()

    @cached_property
    def _looker(self) -> Held:
        """The module, or where another layout is quicker without gradients a second one."""
        way = for_looking(self.execution)
        if way == self.execution:
            return self._held
        return Held(lay_out(copy.deepcopy(self.module), way))

    @contextlib.contextmanager
    def _at_work(self, seed: int) -> Iterator[None]:
        """This job's threads and random stream; afterwards nothing of the work is left behind."""
        if torch.get_num_threads() != self.execution.threads:
            torch.set_num_threads(self.execution.threads)
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.enable_grad())
            stack.enter_context(seeded(seed, self.device))
            stack.enter_context(repeatable(self.execution))
            try:
                yield
            finally:
                for parameter in self._parameters.values():
                    parameter.grad = None

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        return autocast(self.execution)


class Pull:
    """What a plan adds to every gradient: FedProx's µ(w − anchor), SCAFFOLD's correction."""

    def __init__(
        self, job: TorchJob[Any], parameters: Mapping[str, nn.Parameter], plan: LocalPlan
    ) -> None:
        self.mu = plan.proximal
        self.anchors: list[tuple[nn.Parameter, torch.Tensor]] = []
        self.corrections: list[tuple[nn.Parameter, torch.Tensor]] = []
        for name, parameter in parameters.items():
            if self.mu:
                anchor = job.placed(plan.anchor, name, "the proximal anchor")
                self.anchors.append((parameter, anchor))
            if plan.correction:
                correction = job.placed(plan.correction, name, "the correction")
                self.corrections.append((parameter, correction))

    def add(self) -> None:
        """Add it to the gradients; call it without autograd."""
        for parameter, anchor in self.anchors:
            if parameter.grad is not None:
                parameter.grad.add_(parameter - anchor, alpha=self.mu)
        for parameter, correction in self.corrections:
            if parameter.grad is not None:
                parameter.grad.add_(correction)


def initial(build: Callable[[], nn.Module], seed: int) -> Tensors:
    """The tensors of an untrained model; the same for the same seed.

    Args:
        build: Makes the module; its layers draw from torch's own random stream.
        seed: The study's seed.
    """
    module = seeded_build(build, seed).float()
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def seeded_build(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A new module that depends on the seed only and leaves torch's random stream alone."""
    with seeded(derive(seed, "initial"), torch.device("cpu")):
        return build()


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's own random streams start from a seed, and are as before afterwards.

    (`torch.manual_seed` and `torch.random.fork_rng` would touch every device and import torch's
    compiler, which takes seconds.)
    """
    streams = [torch.default_generator]
    if device.type == "cuda":
        torch.cuda.init()
        index = torch.empty(0, device=device).device.index  # `cuda` is one of several
        streams.append(torch.cuda.default_generators[index])
    before = [stream.get_state() for stream in streams]
    try:
        for stream in streams:
            stream.manual_seed(seed)
        yield
    finally:
        for stream, state in zip(streams, before, strict=True):
            stream.set_state(state)


def _passes(plan: LocalPlan, serve: Callable[[], Iterator[T]]) -> Iterator[T]:
    """What is served in all passes that a plan asks for."""
    if plan.steps is None:
        for _ in range(plan.epochs):
            yield from serve()
        return
    left = plan.steps
    while left > 0:
        before = left
        for item in islice(serve(), left):
            left -= 1
            yield item
        if left == before:
            return  # there is nothing to serve


def _device(execution: Execution) -> torch.device:
    device = torch.device(execution.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        message = "the run computes on a GPU, and this site has none that PyTorch can use"
        remedy = 'Give the study device = "cpu" in [task], or the site a GPU'
        raise Refused("training-failed", message, remedy=remedy)
    return device


def _chosen(names: Mapping[str, Any], patterns: tuple[str, ...]) -> frozenset[str]:
    if not patterns:
        return frozenset(names)
    return frozenset(n for n in names if any(fnmatch.fnmatchcase(n, p) for p in patterns))


def _check_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise Refused("not-finite", remedy="Try a smaller learning rate")
