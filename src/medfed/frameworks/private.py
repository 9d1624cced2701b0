"""Training in which no single patient shows: DP-SGD behind `medfed.core.task.LocalJob`.

Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar, Zhang: "Deep Learning with Differential Privacy",
CCS 2016, algorithm 1, with the patient as the unit: each patient is in a step with the same chance
and independently of all others (Poisson sampling), whatever number of rows or scans they have; the
mean gradient of all that is theirs is clipped; noise is added to the sum, also where nobody was
drawn; and the sum is divided by a public number, never by how many were drawn.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medfed.core.data import SetName
from medfed.core.errors import Refused
from medfed.core.task import LocalPlan, Trained
from medfed.core.update import Array, Stats, Tensors
from medfed.frameworks.apart import keeps_apart
from medfed.frameworks.examples import ByPatient, TensorExamples, to_device
from medfed.frameworks.optimizers import Optimizer
from medfed.frameworks.per_patient import at_once, clipped_sum, linear_layers
from medfed.frameworks.torch_job import Pull, TorchJob

B = TypeVar("B")


class Randomness(Protocol):
    """Where sampling and noise come from: secret, and never the same twice."""

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Numbers in [0, 1)."""

    def gaussian(self, count: int) -> NDArray[np.float64]:
        """Standard normal numbers."""

    def seed(self) -> int:
        """A secret seed, for streams that stay within one piece of work."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """How private steps are taken; public, and known before any patient is looked at.

    Attributes:
        rate: The chance of each patient to be in a step.
        steps: How many steps.
        noise: Standard deviation of the noise, in clips.
    """

    rate: float
    steps: int
    noise: float


class Terms(Protocol):
    """What a mechanism fixes for a private workplace."""

    patients: int
    """The public number of patients: the weight of updates, and the denominator of means."""
    clip: float
    """The longest gradient (Euclidean norm over all tensors) a patient may have."""

    def sampled(self, plan: LocalPlan | None) -> Sampled:
        """How to take the steps of a plan; None is a gradient over everybody. It pays for them."""


class PrivateJob(TorchJob[B]):
    """A `TorchJob` whose training and gradients are differentially private.

    Its losses are not: they stay here, and ``Trained`` says nothing of them. Evaluation is the
    plain one's; which sets may be evaluated is not decided here.

    Args:
        job: The workplace as the task opened it; its module is shared.
        terms: What is fixed in public.
        random: Where sampling and noise come from.

    Raises:
        Refused: The model mixes patients, or its patients cannot be served one by one.
    """

    private: ClassVar[bool] = True
    """Another wrapper around it would undo what it does; see `medfed.privacy.rules.plain_job`."""

    def __init__(self, job: TorchJob[B], terms: Terms, random: Randomness) -> None:
        check_module(job.module)
        if not isinstance(job.sets["train"], ByPatient):
            message = "this task does not serve its patients one by one, as privacy needs"
            raise Refused("training-failed", message)
        super().__init__(job.site, job.module, job.sets, job.learning, job.seed, job.execution)
        self.inner = job
        self.terms = terms
        self.random = random
        self.patients = terms.patients
        self._train: ByPatient[B] = cast(Any, job.sets["train"])
        self._single = isinstance(self._train, TensorExamples)
        self._check_apart()

    def _check_apart(self) -> None:
        """Complain about a model in which one patient's answer depends on another."""
        with self._at_work(self.random.seed()):
            for batch in self._patients(np.arange(min(2, self._train.people())), 2):
                if not keeps_apart(self.module, self.learning.loss, batch):
                    message = "what it answers for one patient depends on who else is in the batch"
                    _refuse(message, "Choose layers that look at each patient alone")

    def train(self, start: Tensors, plan: LocalPlan) -> Trained:
        """Train from ``start`` as ``plan`` says; paid for before the first step.

        Raises:
            Refused: ``budget-spent``; ``not-finite`` when the noised model diverges.
        """
        how = self.terms.sampled(plan)
        with self._at_work(self.random.seed()):
            self._held.load(start)
            parameters = self._prepare(plan)
            pull = Pull(self, parameters, plan)
            optimizer = Optimizer(list(parameters.values()), plan)
            for _ in range(how.steps):
                drawn = np.flatnonzero(self.random.uniform(self._train.people()) < how.rate)
                total = self._noised(parameters, drawn, how.noise)
                for name, parameter in parameters.items():
                    parameter.grad = total[name].div_(how.rate * self.terms.patients)
                with torch.no_grad():
                    pull.add()
                    optimizer.step()
            return Trained(self._held.read(), how.steps, 0.0, 0.0)

    def gradient(self, at: Tensors, l2: float = 0.0) -> tuple[Tensors, float]:
        """The noised gradient of the mean loss over all training patients; no loss is told."""
        how = self.terms.sampled(None)
        with self._at_work(self.random.seed()):
            self._held.load(at)
            self.module.eval()
            for parameter in self._parameters.values():
                parameter.requires_grad_(True)
            everybody = np.arange(self._train.people())
            total = self._noised(self._parameters, everybody, how.noise)
            return {k: self._mean(v, self._parameters[k], l2) for k, v in total.items()}, 0.0

    def watch(self, model: Tensors, on: SetName) -> Stats:
        """As the plain workplace does."""
        return self.inner.watch(model, on)

    def explain(self, model: Tensors) -> Stats:
        """As the plain workplace does."""
        return self.inner.explain(model)

    def _mean(self, total: torch.Tensor, parameter: nn.Parameter, l2: float) -> Array:
        mean = total.div_(self.terms.patients)
        if l2:
            mean = mean.add_(parameter.detach(), alpha=l2)
        return mean.cpu().numpy()

    def _noised(
        self, parameters: Mapping[str, nn.Parameter], drawn: NDArray[np.int64], noise: float
    ) -> dict[str, torch.Tensor]:
        """The sum of the clipped gradients of some patients, with noise."""
        total = {k: torch.zeros_like(p, requires_grad=False) for k, p in parameters.items()}
        layers = linear_layers(self.module, parameters)
        most = at_once(parameters, layers, single=self._single)
        for batch in self._patients(drawn, most):
            with self._precision():
                part = clipped_sum(
                    self.module, parameters, self.learning.loss, batch, self.terms.clip, layers
                )
            for name, value in part.items():
                total[name] += value
        numbers = torch.from_numpy(self.random.gaussian(sum(v.numel() for v in total.values())))
        numbers = numbers.mul_(noise * self.terms.clip).float().to(self.device)
        parts = numbers.split([value.numel() for value in total.values()])
        for value, part in zip(total.values(), parts, strict=True):
            value.add_(part.view(value.shape))
        return total

    def _patients(self, drawn: NDArray[np.int64], most: int) -> Iterator[B]:
        for start in range(0, len(drawn), most):
            for batch in self._train.of(drawn[start : start + most], self.random.seed()):
                yield to_device(batch, self.device)


def check_module(module: nn.Module) -> None:
    """Complain about a model in which one patient could show in another's gradient, or in a buffer.

    All modules and buffers are looked at: a batch statistic does not always call itself one.

    Raises:
        Refused: ``training-failed``, with the place in the model.
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001  # the common base
            message = f"{name or 'the model'} normalises by the patients of a batch"
            _refuse(message, "Choose another normalisation, such as layer or group norm")
    for name, _ in module.named_buffers():
        message = f"{name} is a buffer, which training could fill without noise"
        _refuse(message, "Choose a model without running statistics")


def _refuse(message: str, remedy: str) -> None:
    raise Refused("training-failed", f"this model cannot learn privately: {message}", remedy=remedy)
