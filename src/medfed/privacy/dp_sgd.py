"""DP-SGD: each patient's part in every step is bounded and drowned in noise."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medfed.core.data import SetName
from medfed.core.errors import PartError, Problem, Refused
from medfed.core.mechanism import Cost, NoisyAnswer, SitePlan, Till, Unit
from medfed.core.options import option
from medfed.core.study import Study
from medfed.core.task import LocalJob, LocalPlan
from medfed.core.update import Array, Tensors, Update
from medfed.privacy import rules, words
from medfed.privacy.accountant import MOST_NOISE, calibrate
from medfed.privacy.noise import SecretRandom
from medfed.privacy.schedule import shares

if TYPE_CHECKING:
    from medfed.frameworks.private import Sampled


@dataclass(frozen=True)
class DpSgd:
    """Differentially private training inside each hospital; the unit is the patient.

    Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar, Zhang: "Deep Learning with Differential
    Privacy", CCS 2016, algorithm 1, per patient and with Poisson sampling; see
    `medfed.frameworks.private`. Everything that leaves a site afterwards is computed from what the
    noise already protects. Give ``epsilon``, from which the noise follows, or ``noise``.

    A step draws each patient with the chance ``batch_size`` / ``patients``, both public.
    ``patients`` need not be exact, and should not be: the chance and all denominators come from
    it, never from how many there are.
    """

    unit: ClassVar[Unit] = "patient"
    trusts_coordinator: ClassVar[bool] = False
    once: ClassVar[bool] = False

    patients: Mapping[str, int] = option(
        help="Public number of training patients of each site, roughly"
    )
    epsilon: float | None = option(
        None, help="ε that the whole study may cost a patient; the noise follows", above=0
    )
    noise: float | None = option(
        None,
        help="Standard deviation of the noise in clips, instead of epsilon",
        above=0,
        high=MOST_NOISE,
    )
    delta: float = option(1e-5, help="δ, below one by the number of patients", above=0, high=0.1)
    clip: float = option(1.0, help="Longest gradient of a patient", above=0)
    budget: str = option(
        "constant",
        help="How ε is shared out over rounds; rising has less noise in later ones",
        choices=("constant", "rising"),
    )
    scores: str = option(
        "none",
        help="What leaves of validation and test patients: nothing; the final figures, from noised "
        "counts of test patients; or all figures as they are, for the study declares them public",
        choices=("none", "noised", "public"),
    )
    score_epsilon: float = option(
        1.0, help="ε that noised final figures cost a test patient", above=0
    )

    def __post_init__(self) -> None:
        found = []
        if (self.epsilon is None) == (self.noise is None):
            found.append(Problem("privacy", "needs one of epsilon and noise", "Give just one"))
        counts = list(self.patients.values())
        if not counts or any(type(n) is not int or n < 1 for n in counts):
            remedy = "Write patients = { north = 150, south = 90 }, one or more for each site"
            found.append(Problem("privacy.patients", "does not give a number per site", remedy))
        elif self.delta * max(counts) >= 1:
            message = f"{self.delta:g} is too likely: δ must be below 1/{max(counts)}"
            remedy = f"Give {0.1 / max(counts):.0e} or less"
            found.append(Problem("privacy.delta", message, remedy))
        if found:
            raise PartError("the mechanism cannot be used as given", found)

    @property
    def open_sets(self) -> frozenset[SetName]:
        """Validation and test patients, where the study declares them public."""
        return frozenset({"valid", "test"}) if self.scores == "public" else frozenset()

    @property
    def counts_scores(self) -> bool:
        """Whether the final figures leave as noised counts."""
        return self.scores == "noised"

    def noised(self, counts: Array, on: SetName, till: Till) -> Array:
        """Counts with Gaussian noise: a patient more or less moves them by 1 in one cell."""
        answer = self.score_answer()
        till.pay(Cost("patient", (answer,)), on)
        noise = answer.noise * SecretRandom().gaussian(counts.size).reshape(counts.shape)
        return np.asarray(counts + noise)

    def score_answer(self) -> NoisyAnswer:
        """What one scoring of the final model costs a test patient."""
        return NoisyAnswer("gaussian", _alone(self.score_epsilon, self.delta))

    def problems(self, study: Study) -> Sequence[Problem]:
        """What in a study DP-SGD cannot stand beside."""
        found = [*rules.common(study, self.open_sets), *rules.by_patient(study)]
        found += rules.named_patients(study)
        absent = [site for site in study.sites if site not in self.patients]
        if absent:
            message = f"does not say how many patients {', '.join(absent)} has"
            found.append(Problem("privacy.patients", message, "Name every site of the study"))
        if self.counts_scores:
            found += rules.counted(study)
        return found

    def wrap(self, job: LocalJob, plan: SitePlan, till: Till) -> LocalJob:
        """A workplace whose training and gradients are private, and paid for.

        Raises:
            Refused: The workplace or its model cannot learn privately.
        """
        from medfed.frameworks.private import PrivateJob
        from medfed.frameworks.torch_job import TorchJob

        if not isinstance(job, TorchJob):
            raise Refused("training-failed", "DP-SGD knows PyTorch models only")
        rules.plain_job(job)
        return PrivateJob(job, _Terms(self, plan, till), SecretRandom())

    def on_site(
        self, update: Update, plan: SitePlan, till: Till, asked: Mapping[str, Any]
    ) -> Update:
        """The update as it is, for its training was private; but no figure of the training."""
        return replace(update, stats=rules.without_losses(update.stats))

    def asks(self, memory: Tensors) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def on_total(self, total: Update, plan: SitePlan, memory: Tensors) -> tuple[Update, Tensors]:
        """The total as it is: the noise is in it already."""
        return total, memory

    def cost(self, plan: SitePlan) -> Cost:
        """All steps of all rounds, at the noise that the study fixes."""
        return Cost("patient", self._answers(plan, self.base_noise(plan))).merged()

    def answer(self, plan: SitePlan, work: LocalPlan | None, round_: int) -> NoisyAnswer:
        """What one piece of a round's work costs."""
        noise = self.base_noise(plan) * shares(self.budget, plan.rounds)[_stage(round_, plan)]
        return self._one(plan.site, work, noise)

    def base_noise(self, plan: SitePlan) -> float:
        """The noise of the study's middle, in clips: given, or calibrated to the target ε."""
        if self.noise is not None:
            return self.noise
        assert self.epsilon is not None  # noqa: S101  # one of the two is given
        key = tuple(self._one(plan.site, work, 1.0) for work in plan.work)
        found = _calibrated(key, self.budget, plan.rounds, self.epsilon, self.delta)
        if not math.isfinite(found):
            message = f"no noise makes the work of {plan.site} cost ε = {self.epsilon:g} or less"
            problem = Problem("privacy.epsilon", message, "Give a larger epsilon or fewer rounds")
            raise PartError("the mechanism cannot be used as given", [problem])
        return found

    def protects(self) -> Sequence[str]:
        """In words; see `medfed.core.mechanism.Mechanism`."""
        return words.DP_SGD

    def promise(self, study: Study) -> Sequence[str]:
        """In words; see `medfed.core.mechanism.Mechanism`."""
        return words.dp_sgd(self, study)

    def warnings(self, study: Study) -> Sequence[str]:
        """Where ε is so large that little is promised."""
        return words.weak(self, study)

    def _answers(self, plan: SitePlan, noise: float) -> tuple[NoisyAnswer, ...]:
        one = tuple(self._one(plan.site, work, 1.0) for work in plan.work)
        return _scheduled(one, self.budget, plan.rounds, noise)

    def _one(self, site: str, work: LocalPlan | None, noise: float) -> NoisyAnswer:
        rate, steps = self._sampling(site, work)
        return NoisyAnswer("gaussian", noise, rate, steps)

    def _sampling(self, site: str, work: LocalPlan | None) -> tuple[float, int]:
        """The chance of a patient to be in a step, and how many steps; both public."""
        if work is None:
            return 1.0, 1
        rate = min(1.0, work.batch_size / self.patients[site])
        steps = work.steps if work.steps is not None else max(1, round(work.epochs / rate))
        return rate, steps


class _Terms:
    """What `medfed.frameworks.private.Terms` asks for."""

    def __init__(self, mechanism: DpSgd, plan: SitePlan, till: Till) -> None:
        self.mechanism = mechanism
        self.plan = plan
        self.till = till
        self.patients = mechanism.patients[plan.site]
        self.clip = mechanism.clip

    def sampled(self, plan: LocalPlan | None) -> "Sampled":
        from medfed.frameworks.private import Sampled

        answer = self.mechanism.answer(self.plan, plan, self.till.round)
        self.till.pay(Cost("patient", (answer,)))
        return Sampled(answer.rate, answer.times, answer.noise)


@functools.lru_cache(maxsize=64)
def _alone(epsilon: float, delta: float) -> float:
    return calibrate(lambda noise: [NoisyAnswer("gaussian", noise)], epsilon, delta)


def _stage(round_: int, plan: SitePlan) -> int:
    return min(max(round_, 1), plan.rounds) - 1


def _scheduled(
    one: tuple[NoisyAnswer, ...], budget: str, rounds: int, noise: float
) -> tuple[NoisyAnswer, ...]:
    factors = shares(budget, rounds)
    return tuple(replace(a, noise=noise * factor) for factor in factors for a in one)


@functools.lru_cache(maxsize=256)
def _calibrated(
    one: tuple[NoisyAnswer, ...], budget: str, rounds: int, epsilon: float, delta: float
) -> float:
    return calibrate(lambda noise: _scheduled(one, budget, rounds, noise), epsilon, delta)
