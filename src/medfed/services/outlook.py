"""What a study would cost at a hospital, held against what its ledger has left."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from medfed.core.ledger import Balance, comparable
from medfed.core.mechanism import Unit
from medfed.core.study import Study
from medfed.services.prices import Price
from medfed.storage.ledger import SqliteLedger


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a study would cost one kind of unit here, and whether the limit has room for it.

    Attributes:
        unit: Patient, record or hospital.
        alone: ε of a whole run, by itself.
        spent: What the study's runs have spent so far.
        before: Where the one stands who has spent most.
        then: Where they would stand with a whole run of the study besides; None where some of it
            is spent already.
        crowd: The most of the study's source who were in one piece of work so far.
    """

    unit: Unit
    alone: float
    spent: float
    before: Balance
    then: Balance | None
    crowd: int

    @property
    def after(self) -> float | None:
        """ε with a whole run besides."""
        return None if self.then is None else self.then.spent

    @property
    def left(self) -> float | None:
        """ε that would be left then."""
        return None if self.then is None else self.then.left

    @property
    def crowded(self) -> bool:
        """Whether the limit's δ is too large for so many: the ledger refuses all their work."""
        return self.crowd * self.before.delta >= 1

    @property
    def fits(self) -> bool:
        """Whether the limit has room for a whole run; for anything, where some is spent already."""
        if self.crowded:
            return False
        if self.then is None:
            return self.before.left > 0 and (self.before.rule == "sum" or self.before.used < 1)
        return self.then.within

    @property
    def unproven(self) -> bool:
        """Whether it is the limit's filter alone that has no room for it."""
        then = self.then or self.before
        return not (self.fits or self.crowded) and then.spent <= then.limit

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data; null where a figure has no bound."""
        before, then = self.before, self.then
        return {
            "unit": self.unit,
            "limit": before.limit,
            "delta": before.delta,
            "spent": _finite(before.spent),
            "left": before.left,
            "rule": before.rule,
            "order": before.order,
            "used": _finite(before.used),
            "alone": _finite(self.alone),
            "by_study": _finite(self.spent),
            "after": None if then is None else _finite(then.spent),
            "left_after": self.left,
            "used_after": None if then is None else _finite(then.used),
            "fits": self.fits,
        }


def outlooks(book: SqliteLedger, study: Study, prices: Iterable[Price]) -> Sequence[Outlook]:
    """What a study would cost, and what is left for it.

    Args:
        book: The hospital's ledger.
        study: The study.
        prices: What it costs there, by unit.

    Raises:
        SiteError: The ledger cannot be used.
    """
    return [_outlook(book, study, price) for price in prices]


def _outlook(book: SqliteLedger, study: Study, price: Price) -> Outlook:
    before = book.balance(price.unit)
    source = comparable(study.source)
    spent = book.balance(price.unit, study=study.digest).spent
    alone = book.accountant.epsilon(price.answers, before.delta)
    then = None if spent else book.after(price.answers, source, price.unit)
    crowd = book.crowd(price.unit, source)
    return Outlook(price.unit, alone, spent, before, then, crowd)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
