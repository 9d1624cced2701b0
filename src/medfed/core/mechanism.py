"""A privacy transform with a compulsory cost, and what it is computed from before anything runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from medfed.core.data import SetName, SiteData
from medfed.core.errors import Problem
from medfed.core.study import Study
from medfed.core.task import LocalJob, LocalPlan
from medfed.core.update import Array, Stats, Tensors, Update

Unit = Literal["patient", "record", "hospital"]
"""What a guarantee hides. Of a patient and of a hospital the presence: neighbours differ by one of
them, added or removed. Of a record what it says: neighbours differ by one, replaced by another.

The two relations have no common sum, so each unit has a sum of its own. To replace a patient is to
remove one and to add one; what that costs by both sums is `medfed.core.ledger.replacing`.
"""


@dataclass(frozen=True, slots=True)
class NoisyAnswer:
    """Answers of one kind that a unit's data went into: what an accountant composes.

    Attributes:
        kind: The distribution of the noise.
        noise: Its standard deviation (gaussian) or scale (laplace), divided by the sensitivity.
        rate: The chance that a unit is in an answer, drawn anew for each (Poisson sampling).
        times: How many such answers.
    """

    kind: Literal["gaussian", "laplace"]
    noise: float
    rate: float = 1.0
    times: int = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """What some work costs one unit.

    Attributes:
        unit: Who is protected.
        answers: The noisy answers, from which an accountant makes (ε, δ).
    """

    unit: Unit
    answers: tuple[NoisyAnswer, ...] = ()

    def merged(self) -> "Cost":
        """The same cost with equal answers counted together, in a fixed order."""
        return Cost(self.unit, merge(self.answers))


def merge(answers: Sequence[NoisyAnswer]) -> tuple[NoisyAnswer, ...]:
    """Equal answers counted together, in a fixed order."""
    counts: dict[NoisyAnswer, int] = {}
    for answer in answers:
        one = replace(answer, times=1)
        counts[one] = counts.get(one, 0) + answer.times
    order = sorted(counts, key=lambda a: (a.kind, a.noise, a.rate))
    return tuple(replace(one, times=counts[one]) for one in order)


def repeated(answers: Sequence[NoisyAnswer], share: float) -> tuple[NoisyAnswer, ...]:
    """Answers and a share of them once more, rounded up."""
    more = [(a, a.times + math.ceil(a.times * share)) for a in merge(answers)]
    return tuple(replace(a, times=times) for a, times in more)


def without(answers: Sequence[NoisyAnswer], paid: Sequence[NoisyAnswer]) -> tuple[NoisyAnswer, ...]:
    """What is left of answers when others are taken away, each as often as it is among both."""
    gone = {replace(a, times=1): a.times for a in merge(paid)}
    left = [(a, a.times - gone.get(replace(a, times=1), 0)) for a in merge(answers)]
    return tuple(replace(a, times=times) for a, times in left if times > 0)


def covered(answers: Sequence[NoisyAnswer], by: Sequence[NoisyAnswer]) -> bool:
    """Whether each answer is among others, as often: then it costs no more than they do."""
    allowed = {replace(a, times=1): a.times for a in merge(by)}
    return all(a.times <= allowed.get(replace(a, times=1), 0) for a in merge(answers))


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what every input of a patient's record lies, as it goes into the model; public.

    Attributes:
        inputs: How many there are.
        low: The lowest of each.
        high: The highest.
    """

    inputs: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SitePlan:
    """What a study asks of one site, known before it runs and without looking at any patient.

    Attributes:
        site: The site.
        sites: Sites that are asked in a round, whether they answer or not.
        rounds: Rounds of training.
        work: What one round asks for: local trainings; None stands for a gradient over everybody.
        bounds: Of the records; None where the task declares none.
    """

    site: str
    sites: int
    rounds: int
    work: tuple[LocalPlan | None, ...]
    bounds: Bounds | None = None


class Till(Protocol):
    """Where work is paid for before it is done."""

    @property
    def round(self) -> int:
        """The round that is being worked on."""

    def pay(self, cost: Cost, on: SetName = "train") -> None:
        """Enter a cost into the site's ledger.

        Args:
            cost: What the work costs.
            on: Whose: the patients of this set.

        Raises:
            Refused: ``budget-spent``; then the work must not be done.
        """


class Mechanism(Protocol):
    """A privacy transform. Each draws its own secret randomness: no seed comes from outside."""

    unit: ClassVar[Unit]
    trusts_coordinator: ClassVar[bool]
    """Whether it is the coordinator who adds the noise, after seeing each site's update."""
    once: ClassVar[bool]
    """Whether it costs once a run, and not by round."""

    @property
    def delta(self) -> float:
        """The chance for which ε does not hold."""

    @property
    def open_sets(self) -> frozenset[SetName]:
        """The sets that the study declares public: their figures may leave as they are."""

    @property
    def counts_scores(self) -> bool:
        """Whether final figures leave as noised counts, where they may not leave as they are."""

    def noised(self, counts: Array, on: SetName, till: Till) -> Array:
        """At the site: counts in which each patient of a set is in one cell, noised and paid for.

        Called before the counts leave, and only where `counts_scores` says so.
        """

    def problems(self, study: Study) -> Sequence[Problem]:
        """What in a study this mechanism cannot stand beside."""

    def wrap(self, job: LocalJob, plan: SitePlan, till: Till) -> LocalJob:
        """At the site: a workplace whose answers are private, and that pays for each."""

    def on_site(
        self, update: Update, plan: SitePlan, till: Till, asked: Mapping[str, Any]
    ) -> Update:
        """At the site: what may leave of an update; ``asked`` is what `asks` sent."""

    def asks(self, memory: Tensors) -> Mapping[str, Any]:
        """At the coordinator: plain data that the sites need for this round."""

    def on_total(self, total: Update, plan: SitePlan, memory: Tensors) -> tuple[Update, Tensors]:
        """At the coordinator: the total that may be used, and the memory for the next round."""

    def cost(self, plan: SitePlan) -> Cost:
        """What the whole study costs one unit of a site."""

    def protects(self) -> Sequence[str]:
        """In words: who is protected, and against whom."""

    def promise(self, study: Study) -> Sequence[str]:
        """In words: what is protected, against whom, at what cost, and what is not."""

    def warnings(self, study: Study) -> Sequence[str]:
        """In words: why the study may be a waste of effort; told before it runs."""


@runtime_checkable
class CountedScores(Protocol):
    """What a task may offer besides, so that its figures can be told by few noised counts."""

    def count_scores(self, stats: Stats) -> Array:
        """From `LocalJob.evaluate`'s statistics: counts, each patient in exactly one cell."""

    def scores_from(self, counts: Array) -> Stats:
        """Statistics for `Task.summarise` from counts with noise, which may be below zero."""


@runtime_checkable
class PrivateTask(Protocol):
    """What a task must offer to be learnt under a mechanism."""

    def leaks(self) -> Sequence[Problem]:
        """What would leave a site besides updates and scores, as this task is set."""


@runtime_checkable
class BoundedTask(Protocol):
    """What a task must offer so that its patients' records can be noised one by one."""

    def bounds(self) -> Bounds | None:
        """Of its inputs; None where one has none."""

    def unbounded(self) -> Sequence[Problem]:
        """Why some input has none, as this task is set."""


@runtime_checkable
class PaidQuery(Protocol):
    """What a query offers besides whose answer is noised at the site, and paid for there."""

    @property
    def delta(self) -> float:
        """At which δ its cost is told."""

    def cost(self) -> Cost:
        """What its answer costs each patient, in whichever set."""

    def of(self, data: SiteData) -> Sequence[SetName]:
        """The sets whose patients it is made of, and who pay."""

    def beside(self, study: Study) -> Sequence[Problem]:
        """What in a study it cannot stand beside."""
