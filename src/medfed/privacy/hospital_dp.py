"""Hospital-level differential privacy: what one hospital adds to the model drowns in noise."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from medfed.core.data import SetName
from medfed.core.errors import PartError, Problem, Refused
from medfed.core.mechanism import Cost, NoisyAnswer, SitePlan, Till, Unit
from medfed.core.options import option
from medfed.core.study import Study
from medfed.core.task import LocalJob
from medfed.core.update import Array, Tensors, Update
from medfed.privacy import rules, words
from medfed.privacy.accountant import MOST_NOISE, calibrate
from medfed.privacy.filter import EVEN, LESS, MORE, Filter
from medfed.privacy.noise import SecretRandom
from medfed.privacy.schedule import shares

BELOW = "hospital/below"
"""Whether a site's update was no longer than the clip, as ±½: adds up, moves a sum by ½ at most."""
CLIP = "clip"
ROUND, WEIGHT, SPENT = "round", "weight", "spent"
"""In the memory, where noise changes: rounds done, what the next one weighs, what all weighed."""


@dataclass(frozen=True)
class HospitalDp:
    """Each site's whole update is clipped, and the coordinator adds noise to the sum.

    McMahan, Ramage, Talwar, Zhang: "Learning Differentially Private Recurrent Language Models",
    ICLR 2018, algorithm 1, with all sites in every round: no amplification is claimed. The mean is
    over sites and not over patients, and its denominator is the number of sites asked, whether
    they answer or not; so a site that drops out never makes the noise smaller than was paid for.

    With ``quantile`` the clip follows the updates: Andrew, Thakkar, McMahan, Ramaswamy:
    "Differentially Private Learning with Adaptive Clipping", NeurIPS 2021, algorithm 1. Each site
    adds a bit (±½: whether its update was within the clip), the sum of bits gets noise of its own,
    and C ← C·exp(−η(b̄ − γ)). ``noise`` is what both answers cost together (their theorem 1).

    With ``budget = "adaptive"`` a round in which the noise drowned the update is followed by one
    with less noise, and a clear one by one with more; see `medfed.privacy.filter`.
    """

    unit: ClassVar[Unit] = "hospital"
    trusts_coordinator: ClassVar[bool] = True
    once: ClassVar[bool] = False

    epsilon: float | None = option(
        None, help="ε that the whole study may cost a hospital; the noise follows", above=0
    )
    noise: float | None = option(
        None,
        help="Standard deviation of the noise in clips, instead of epsilon",
        above=0,
        high=MOST_NOISE,
    )
    delta: float = option(1e-3, help="δ, below one by the number of sites", above=0, high=0.1)
    clip: float = option(1.0, help="Longest update of a site, or where it begins", above=0)
    quantile: float | None = option(
        None,
        help="Share of updates that the clip shall leave whole; silent for a fixed clip",
        above=0,
        high=0.99,
    )
    clip_lr: float = option(0.2, help="η, how fast the clip follows", above=0, high=2)
    count_noise: float = option(
        1.0,
        help="Noise of the counted bits, as a multiple of the whole's",
        above=0.5,
        high=MOST_NOISE,
    )
    budget: str = option(
        "constant",
        help="How ε is shared out over rounds: alike; less noise in later ones; or by what the "
        "noised answers so far show",
        choices=("constant", "rising", "adaptive"),
    )
    scores: str = option(
        "none",
        help="What leaves of validation and test patients: nothing, or their figures as they are, "
        "because the study declares these patients public",
        choices=("none", "public"),
    )

    def __post_init__(self) -> None:
        if (self.epsilon is None) == (self.noise is None):
            problem = Problem("privacy", "needs one of epsilon and noise", "Give just one")
            raise PartError("the mechanism cannot be used as given", [problem])

    @property
    def open_sets(self) -> frozenset[SetName]:
        """Validation and test patients, where the study declares them public."""
        return frozenset({"valid", "test"}) if self.scores == "public" else frozenset()

    @property
    def counts_scores(self) -> bool:
        """No: all patients of a hospital are one unit, and no count of them is bounded."""
        return False

    def noised(self, counts: Array, on: SetName, till: Till) -> Array:
        """Never: see `counts_scores`."""
        raise Refused("not-private")

    def problems(self, study: Study) -> Sequence[Problem]:
        """What in a study it cannot stand beside."""
        found = [*rules.common(study, self.open_sets), *rules.plain_sums(study)]
        found += rules.unpaid(study)
        if self.delta * len(study.sites) >= 1:
            message = f"{self.delta:g} is too likely: δ must be below 1/{len(study.sites)}"
            found.append(Problem("privacy.delta", message, "Give less, such as 0.001"))
        return found

    def wrap(self, job: LocalJob, plan: SitePlan, till: Till) -> LocalJob:
        """The workplace as it is: what it gives is clipped whole."""
        return job

    def on_site(
        self, update: Update, plan: SitePlan, till: Till, asked: Mapping[str, Any]
    ) -> Update:
        """The mean change, clipped, weighing one; paid for before it leaves."""
        clip = float(asked.get(CLIP, self.clip))
        if not 0 < clip < math.inf:
            raise Refused("malformed-order", "the clip of the order is no length")
        noise = self._asked_noise(plan, till, asked)
        till.pay(Cost("hospital", (NoisyAnswer("gaussian", noise),)))
        means = {name: _mean(name, value, update) for name, value in update.tensors.items()}
        norm = math.sqrt(sum(float(np.vdot(v, v)) for v in means.values()))
        scale = min(1.0, clip / norm) if math.isfinite(norm) and norm > 0 else 0.0
        tensors = {name: _scaled(value, scale) for name, value in means.items()}
        stats = {} if self.quantile is None else {BELOW: np.asarray(0.5 if norm <= clip else -0.5)}
        return Update(tensors, dict.fromkeys(update.weights, 1.0), stats)

    def _asked_noise(self, plan: SitePlan, till: Till, asked: Mapping[str, Any]) -> float:
        """The noise that this round is charged for: by the schedule, or one the filter may choose.

        That all chosen ones together fit is checked by the ledger, before the update leaves: for
        Gaussian answers about everybody its sum is the filter's.
        """
        base = self.joint_noise(plan)
        if self.budget != "adaptive":
            return base * self._factor(till.round, plan)
        weight = asked.get(WEIGHT, EVEN)
        if weight not in (LESS, EVEN, MORE):
            raise Refused("malformed-order", "the order asks for noise that is not to be chosen")
        return base * float(weight) ** -0.5

    def asks(self, memory: Tensors) -> Mapping[str, Any]:
        """The clip of this round, and what it weighs where that is chosen."""
        clip = {CLIP: float(memory.get(CLIP, self.clip))}
        return clip if self.budget != "adaptive" else {**clip, WEIGHT: _weight(memory)}

    def on_total(self, total: Update, plan: SitePlan, memory: Tensors) -> tuple[Update, Tensors]:
        """The sum with noise, to be divided by the sites asked; and what follows for the next."""
        random, clip = SecretRandom(), float(memory.get(CLIP, self.clip))
        round_ = int(memory.get(ROUND, 0)) + 1
        factor = self._factor(round_, plan)
        if self.budget == "adaptive":
            factor = _weight(memory) ** -0.5
        noise = factor * self.update_noise(plan) * clip
        tensors = {name: _noised(v, noise, random) for name, v in total.tensors.items()}
        noised = Update(tensors, dict.fromkeys(total.weights, float(plan.sites)))
        kept = dict(memory) if self.budget == "constant" else {ROUND: np.asarray(round_)}
        if self.budget == "adaptive":
            kept |= _next_weight(memory, plan, noised, noise)
        if self.quantile is None:
            return noised, kept
        deviation = factor * self.count_noise * self.joint_noise(plan)
        bits = float(total.stats.get(BELOW, 0.0)) + deviation * float(random.gaussian(1)[0])
        return noised, {**kept, CLIP: np.asarray(self.next_clip(clip, bits, plan.sites))}

    def _factor(self, round_: int, plan: SitePlan) -> float:
        """By what a fixed schedule multiplies the noise of a round."""
        if self.budget != "rising":
            return 1.0
        return shares(self.budget, plan.rounds)[min(max(round_, 1), plan.rounds) - 1]

    def next_clip(self, clip: float, bits: float, sites: int) -> float:
        """The clip of the next round, from the noised sum of bits (each ±½)."""
        assert self.quantile is not None  # noqa: S101  # asked for only where it is given
        share = min(max(bits / sites + 0.5, 0.0), 1.0)
        return clip * math.exp(-self.clip_lr * (share - self.quantile))

    def cost(self, plan: SitePlan) -> Cost:
        """One answer a round. Chosen noise costs no more than constant noise: see the filter."""
        answers = _answers(self.budget, plan.rounds, self.joint_noise(plan))
        return Cost("hospital", answers).merged()

    def joint_noise(self, plan: SitePlan) -> float:
        """What update and bit together are worth: the noise of one Gaussian answer, in clips."""
        if self.noise is not None:
            return self.noise
        assert self.epsilon is not None  # noqa: S101  # one of the two is given
        return _calibrated(self.budget, plan.rounds, self.epsilon, self.delta)

    def update_noise(self, plan: SitePlan) -> float:
        """The noise of the update's sum, in clips; more where the bits take their share."""
        joint = self.joint_noise(plan)
        if self.quantile is None:
            return joint
        return float((joint**-2 - (2.0 * self.count_noise * joint) ** -2) ** -0.5)

    def noise_to_signal(self, plan: SitePlan, numbers: int) -> float:
        """How long the noise in the mean is, in longest mean updates.

        Args:
            plan: Rounds and sites.
            numbers: Numbers in the model.
        """
        return self.update_noise(plan) * math.sqrt(numbers) / plan.sites

    def protects(self) -> Sequence[str]:
        """In words; see `medfed.core.mechanism.Mechanism`."""
        return words.HOSPITAL

    def promise(self, study: Study) -> Sequence[str]:
        """In words; see `medfed.core.mechanism.Mechanism`."""
        return words.hospital_dp(self, study)

    def warnings(self, study: Study) -> Sequence[str]:
        """Where the noise is longer than what is learnt."""
        return words.drowned(self, study)


def _mean(name: str, value: Array, update: Update) -> Array:
    weight = update.weights.get(name.partition("/")[0], 0.0)
    return np.asarray(value / np.asarray(weight, value.dtype)) if weight > 0 else value


def _scaled(value: Array, scale: float) -> Array:
    """Zero for a factor of zero, whatever the value is."""
    return np.asarray(value * np.asarray(scale, value.dtype)) if scale else np.zeros_like(value)


def _noised(value: Array, deviation: float, random: SecretRandom) -> Array:
    noise = deviation * random.gaussian(value.size).reshape(value.shape)
    return np.asarray(value + noise, value.dtype)


def _weight(memory: Tensors) -> float:
    return float(memory.get(WEIGHT, EVEN))


def _next_weight(memory: Tensors, plan: SitePlan, noised: Update, noise: float) -> dict[str, Array]:
    """What the next round weighs, by nothing but what the noise protects already."""
    before = Filter(plan.rounds, int(memory.get(ROUND, 0)), float(memory.get(SPENT, 0.0)))
    left = before.after(_weight(memory))
    found = {SPENT: np.asarray(left.spent)}
    if left.done >= plan.rounds:
        return found
    numbers = sum(value.size for value in noised.tensors.values())
    length = sum(float(np.vdot(v, v)) for v in noised.tensors.values())
    loudness = length / (numbers * noise**2) if numbers and noise else math.inf
    return {**found, WEIGHT: np.asarray(left.chosen(loudness, numbers))}


def _answers(budget: str, rounds: int, noise: float) -> tuple[NoisyAnswer, ...]:
    if budget != "rising":
        return (NoisyAnswer("gaussian", noise, 1.0, rounds),)
    return tuple(NoisyAnswer("gaussian", noise * one) for one in shares(budget, rounds))


@functools.lru_cache(maxsize=64)
def _calibrated(budget: str, rounds: int, epsilon: float, delta: float) -> float:
    return calibrate(lambda z: _answers(budget, rounds, z), epsilon, delta)
