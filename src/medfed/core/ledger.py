"""What a site has spent of its patients' privacy: the ledger and the accountant, as protocols."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from medfed.core.errors import SiteError
from medfed.core.files import canonical_json
from medfed.core.mechanism import Cost, NoisyAnswer, Unit
from medfed.core.registry import Part

UNITS: tuple[Unit, ...] = ("patient", "record", "hospital")
"""Whose spending has a sum of its own."""
LARGEST_DELTA = 0.1
Rule = Literal["proven", "sum"]
"""What work must pass. By each rule the sum of all privacy losses stays within ε. ``proven`` asks
a Rényi filter besides, so that (ε, δ) also holds where a study was chosen by what an earlier one
gave; by ``sum`` it is only proven if none was."""
RULES: tuple[Rule, ...] = ("proven", "sum")
LEAST_ORDER, MOST_ORDER = 2, 4096
"""Orders of a filter: whole numbers, for which the series of sampled Gaussians always converge."""


@dataclass(frozen=True, slots=True)
class Spend:
    """One piece of work, entered before it is done.

    Attributes:
        study: Digest of the study.
        title: Its title, for people.
        run: The run.
        order: The order. Work that is done again, because its reply was lost, is entered again.
        round: The round.
        purpose: What for, in a word.
        source: What makes identifiers comparable: patients of two sources may be the same people.
        patients: Identifiers of all who might be in the answers (the cohort), as the source has
            them; empty where the unit is the hospital.
        cost: What it costs each of them.
        approved: All that the study may cost each of them, in all its runs; empty for no bound but
            the ledger's own.
        delta: At which δ the study states its ε.
    """

    study: str
    title: str
    run: str
    order: str
    round: int
    purpose: str
    source: str
    patients: Sequence[str]
    cost: Cost
    approved: tuple[NoisyAnswer, ...] = ()
    delta: float = 1e-5


@dataclass(frozen=True, slots=True)
class Limit:
    """What a unit may spend in all, by all studies together.

    Attributes:
        epsilon: ε in all.
        delta: At which δ.
        rule: What work must pass.
        order: Of the Rényi filter; fixed with the limit and by nothing that was answered.
    """

    epsilon: float
    delta: float
    rule: Rule
    order: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Where the patient (or the hospital) stands who has spent most.

    Attributes:
        spent: ε at the ledger's δ, all entries composed.
        limit: The ε that the site allows.
        delta: The ledger's δ.
        rule: What work must pass.
        order: Of the limit's Rényi filter.
        used: The share of what the filter allows that is used: 1 is all of it. It is no share of
            ε, of which no work takes an equal part.
    """

    spent: float
    limit: float
    delta: float
    rule: Rule = "sum"
    order: int = LEAST_ORDER
    used: float = 0.0

    @property
    def left(self) -> float:
        """What is left of the limit; nothing where it was lowered below what is spent."""
        return max(0.0, self.limit - self.spent)

    @property
    def within(self) -> bool:
        """Whether the limit's rule admits as much."""
        return self.spent <= self.limit and (self.rule == "sum" or self.used <= 1.0)

    @property
    def proven(self) -> bool:
        """Whether the limit holds however studies were chosen: all that was spent is filtered."""
        return self.used <= 1.0


WEAK_DELTA = 1e-3
"""A δ from which a promise is weak: it may not hold at all for one in a thousand."""


def replacing(patient: Balance, record: Balance) -> tuple[float, float]:
    """What both limits allow together for one patient who is replaced by another: (ε, δ).

    To replace is to remove one and to add one, two steps away among patients (group privacy: 2ε at
    (1 + e^ε)·δ) and one among records; two guarantees about the same neighbours add up. No ε is
    promised where δ reaches 1.

    Args:
        patient: The balance of patients.
        record: That of records.
    """
    most = max(patient.limit, patient.spent)  # it may have been lowered below what is spent
    delta = (1.0 + math.exp(min(most, 700.0))) * patient.delta + record.delta
    return 2.0 * most + max(record.limit, record.spent), min(1.0, delta)


def comparable(source: Part) -> str:
    """What makes a source's identifiers comparable, as `Spend.source`."""
    return canonical_json(source.to_json()).decode()


def check_limit(epsilon: float, delta: float) -> None:
    """Complain about a limit that is none.

    Args:
        epsilon: What may be spent in all; 0 stops all private work.
        delta: At which δ.

    Raises:
        SiteError: With what to give instead.
    """
    if math.isnan(epsilon) or epsilon < 0:
        message = f"ε is a number of 0 or more, and not {epsilon:g}"
        raise SiteError(message, remedy="Give one such as 10; 0 stops all private work")
    if math.isinf(epsilon):
        raise SiteError("an endless limit is none", remedy="Give a number, such as 10")
    if not 0 < delta <= LARGEST_DELTA:
        message = f"δ lies above 0 and is at most {LARGEST_DELTA:g}, and not {delta:g}"
        remedy = "Give less than one by the number of patients, such as 1e-5"
        raise SiteError(message, remedy=remedy)


class Ledger(Protocol):
    """A site's book of what was spent, across studies; it survives being killed at any point."""

    def spend(self, spend: Spend) -> Balance:
        """Enter a piece of work, durably, before it is done.

        Raises:
            Refused: ``budget-spent``, for all studies together or for this one; nothing was
                entered.
        """


class Accountant(Protocol):
    """Turns noisy answers into (ε, δ), and tells what a Rényi filter makes of them."""

    def epsilon(self, answers: Sequence[NoisyAnswer], delta: float) -> float:
        """The smallest known ε at a δ; infinite where there is none."""

    def order(self, epsilon: float, delta: float) -> int:
        """The order of the filter of a limit for which none is given."""

    def used(self, answers: Sequence[NoisyAnswer], limit: Limit) -> float:
        """The share that answers take of what a limit's filter allows; it admits up to 1."""
