"""Local differential privacy: each record is noised by itself, before anything is made of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

import numpy as np

from medfed.core.data import SetName
from medfed.core.errors import PartError, Problem, Refused
from medfed.core.mechanism import Bounds, Cost, NoisyAnswer, SitePlan, Till, Unit
from medfed.core.options import option
from medfed.core.study import Study
from medfed.core.task import LocalJob
from medfed.core.update import Array, Tensors, Update
from medfed.privacy import local_words, rules
from medfed.privacy.noise import SecretRandom
from medfed.privacy.statistics import noise as noising


@dataclass(frozen=True)
class LocalDp:
    """Laplace noise on every number of a training patient's record, and chance on its outcome.

    Duchi, Jordan, Wainwright: "Local Privacy and Statistical Minimax Rates", FOCS 2013, for the
    model; Dwork, McSherry, Nissim, Smith: "Calibrating Noise to Sensitivity in Private Data
    Analysis", TCC 2006, for the noise; Warner: "Randomized Response", JASA 1965, for the outcome.

    Each input is brought between the bounds that the task declares (``public_ranges``) and gets
    noise for their whole distance, for in this model neighbours are any two records. ``epsilon`` is
    shared out evenly over the inputs: a record of ten has a tenth of it for each. Whatever is
    computed afterwards, in however many rounds, costs nothing more. The noise is drawn once a run;
    a site that is started again in the middle of one draws, and pays, anew.
    """

    unit: ClassVar[Unit] = "record"
    trusts_coordinator: ClassVar[bool] = False
    once: ClassVar[bool] = True

    epsilon: float = option(help="ε that all inputs of a patient cost together", above=0)
    label_epsilon: float | None = option(
        None,
        help="ε of the outcome, which is turned over by chance; silent to learn it as it is, "
        "which protects it not at all",
        above=0,
        high=20,
    )
    delta: float = option(
        1e-5, help="At which δ the ledger adds it to other work; it has none itself", above=0,
        high=0.1,
    )  # fmt: skip
    scores: str = option(
        "none",
        help="What leaves of validation and test patients: nothing, or their figures as they are, "
        "because the study declares these patients public",
        choices=("none", "public"),
    )

    def __post_init__(self) -> None:
        if self.epsilon < 1e-3:
            message = f"{self.epsilon:g} needs noise in which nothing can be seen"
            problem = Problem("privacy.epsilon", message, "Give a larger one")
            raise PartError("the mechanism cannot be used as given", [problem])

    @property
    def open_sets(self) -> frozenset[SetName]:
        """Validation and test patients, where the study declares them public."""
        return frozenset({"valid", "test"}) if self.scores == "public" else frozenset()

    @property
    def counts_scores(self) -> bool:
        """No: figures of held-out patients leave as they are, or not at all."""
        return False

    def noised(self, counts: Array, on: SetName, till: Till) -> Array:
        """Never: see `counts_scores`."""
        raise Refused("not-private")

    def problems(self, study: Study) -> Sequence[Problem]:
        """What in a study it cannot stand beside."""
        found = [*rules.common(study, self.open_sets), *rules.by_patient(study)]
        found += [*rules.named_patients(study), *rules.everybody(study)]
        return [*found, *rules.bounded(study)]

    def wrap(self, job: LocalJob, plan: SitePlan, till: Till) -> LocalJob:
        """A workplace that learns from noised records; the first work pays for them.

        Raises:
            Refused: The workplace does not keep its patients as rows of numbers.
        """
        from medfed.frameworks.records import RecordsJob
        from medfed.frameworks.torch_job import TorchJob

        if not isinstance(job, TorchJob) or plan.bounds is None:
            raise Refused("training-failed", "local-dp knows tables of bounded numbers only")
        rules.plain_job(job)
        return RecordsJob(job, partial(self._drawn, plan, till))

    def _drawn(
        self, plan: SitePlan, till: Till, inputs: Array, labels: Array
    ) -> tuple[Array, Array]:
        till.pay(self.cost(plan))
        bounds = cast("Bounds", plan.bounds)
        return self.records(inputs, bounds), self.outcomes(labels)

    def records(self, inputs: Array, bounds: Bounds) -> Array:
        """Inputs with noise; beyond the bounds they count as the bound.

        Args:
            inputs: float32, shape ``(patients, inputs)``.
            bounds: Between what each lies.
        """
        width = bounds.high - bounds.low
        held = np.clip(np.asarray(inputs, np.float64), bounds.low, bounds.high)
        places = np.nan_to_num(np.clip((held - bounds.low) / width, 0.0, 1.0), nan=0.5)
        whole = np.rint(places * noising.GRID).astype(np.int64)
        found = noising.noised(whole.ravel(), "laplace", self.noise(bounds)) / noising.GRID
        return (found.reshape(inputs.shape) * width + bounds.low).astype(np.float32)

    def outcomes(self, labels: Array) -> Array:
        """Outcomes, 0 or 1, each turned over with the chance 1/(1 + e^ε)."""
        if self.label_epsilon is None:
            return labels
        turned = SecretRandom().uniform(len(labels)) < self.turned
        return np.where(turned, 1 - labels, labels).astype(labels.dtype)

    @property
    def turned(self) -> float:
        """The chance that an outcome is turned over."""
        return 0.0 if self.label_epsilon is None else 1.0 / (1.0 + math.exp(self.label_epsilon))

    def noise(self, bounds: Bounds) -> float:
        """The scale of the noise on an input, in distances between its bounds."""
        return noising.noise_for("laplace", self.epsilon, self.delta, bounds.inputs)

    def on_site(
        self, update: Update, plan: SitePlan, till: Till, asked: Mapping[str, object]
    ) -> Update:
        """The update as it is: it was computed from noised records, its loss too."""
        return update

    def asks(self, memory: Tensors) -> Mapping[str, object]:
        """Nothing."""
        return {}

    def on_total(self, total: Update, plan: SitePlan, memory: Tensors) -> tuple[Update, Tensors]:
        """The total as it is: the noise is in it already."""
        return total, memory

    def cost(self, plan: SitePlan) -> Cost:
        """The noised record, once, however long a study learns from it."""
        if plan.bounds is None:
            return Cost("record")
        answers = noising.answers("laplace", self.noise(plan.bounds), plan.bounds.inputs)
        return Cost("record", (*answers, *self._outcome())).merged()

    def _outcome(self) -> tuple[NoisyAnswer, ...]:
        """What the outcome costs, as a Laplace answer that tells no less.

        The two outcomes under randomized response with ε differ, beyond e^t, by no more than
        δ(t) = (e^ε − e^t)/(1 + e^ε). Those of a Laplace answer with ε' = 2 ln((1 + e^ε)/2) differ
        by 1 − e^((t − ε')/2), which is more by (1 − e^(t/2))²/(1 + e^ε). So it may stand for it.
        """
        if self.label_epsilon is None:
            return ()
        stands_for = 2.0 * math.log((1.0 + math.exp(self.label_epsilon)) / 2.0)
        return (NoisyAnswer("laplace", 1.0 / stands_for),)

    def protects(self) -> Sequence[str]:
        """In words; see `medfed.core.mechanism.Mechanism`."""
        return local_words.protects(self)

    def promise(self, study: Study) -> Sequence[str]:
        """In words; see `medfed.core.mechanism.Mechanism`."""
        return local_words.promise(self, study)

    def warnings(self, study: Study) -> Sequence[str]:
        """Where ε promises little, or the noise drowns the inputs."""
        return local_words.warnings(self, study)
