"""A site's ledger: what each of its patients' privacy was spent on, in one SQLite file.

Entries hold the noisy answers themselves and not their ε, so that an accountant composes them all
exactly. An entry is durable before the work that it pays for begins: a site that is killed at any
point has entered at least what it gave away. Nothing is ever taken out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medfed.core.errors import Refused, SiteError
from medfed.core.ledger import Balance, Limit, check_limit
from medfed.core.mechanism import covered, merge
from medfed.core.vault import OPEN
from medfed.storage import ledger_rows as rows
from medfed.storage.ledger_file import LedgerFile
from medfed.storage.ledger_limits import Limits

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from medfed.core.ledger import Accountant, Rule, Spend
    from medfed.core.mechanism import NoisyAnswer, Unit
    from medfed.core.vault import Vault
    from medfed.storage.ledger_limits import LimitSet

LEDGER = "ledger.sqlite"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where those stand who went through the same work.

    Attributes:
        source: What makes their identifiers comparable; see `medfed.core.ledger.Spend`.
        members: How many they are.
        runs: The runs that they were in.
        spent: ε that each has spent, at the ledger's δ.
        used: The share of what the limit's filter allows.
    """

    source: str
    members: int
    runs: tuple[str, ...]
    spent: float
    used: float


class SqliteLedger:
    """`medfed.core.ledger.Ledger` in one file.

    Args:
        path: The file; made when something is first written.
        accountant: What adds entries up.
        vault: How it lies on the disk.
    """

    def __init__(self, path: Path, accountant: Accountant, vault: Vault = OPEN) -> None:
        self.path = path
        self.accountant = accountant
        self.vault = vault
        self.limits = Limits(accountant.order)
        self.file = LedgerFile(path, vault, self.limits)

    def spend(self, spend: Spend) -> Balance:
        """Enter a piece of work; when this returns it is on the disk.

        Raises:
            Refused: ``budget-spent``: some patient would pass the limit, or what the study was
                approved for. Nothing was entered. By how much is said inside only: it follows from
                other studies, and from who is in which.
        """
        with self.file.writing() as db:
            unit = spend.cost.unit
            limit = self.limits.of(db, unit)
            members = rows.members_of(db, spend)
            if unit != "hospital" and len(members) * limit.delta >= 1:
                figures = f"the δ of {limit.delta:g} is too large for {len(members)} patients"
                raise Refused("budget-spent", inside=figures)
            cohort = rows.cohort_of(members)
            pasts = rows.histories(db, unit, spend.source, members)
            after = self._balance(limit, [merge([*past, *spend.cost.answers]) for past in pasts])
            if not after.within:
                raise Refused("budget-spent", inside=_beyond(after, unit))
            self._hold_to_approval(db, spend, members)
            rows.keep_cohort(db, cohort, members)
            rows.enter(db, spend, cohort)
            return after

    def _hold_to_approval(
        self, db: sqlite3.Connection, spend: Spend, members: Sequence[bytes]
    ) -> None:
        """Whatever is ordered, under however many runs, a study costs what it was approved for."""
        pasts = rows.histories(db, spend.cost.unit, spend.source, members, spend.study)
        totals = [merge([*past, *spend.cost.answers]) for past in pasts]
        beyond = [total for total in totals if not covered(total, spend.approved)]
        if not spend.approved or not beyond:
            return
        allowed = self.accountant.epsilon(merge(spend.approved), spend.delta)
        spent = max(self.accountant.epsilon(total, spend.delta) for total in beyond)
        if spent > allowed:
            figures = (
                f"with it the study would have cost a {spend.cost.unit} ε = {spent:.3g} in all its "
                f"runs; with the rounds that may be done anew (privacy_repeats) it may cost "
                f"{allowed:.3g}"
            )
            raise Refused("budget-spent", inside=figures)

    def balance(
        self,
        unit: Unit = "patient",
        run: str | None = None,
        delta: float | None = None,
        study: str | None = None,
    ) -> Balance:
        """Where the unit stands that has spent most.

        Args:
            unit: Patient, record or hospital.
            run: What one run spent alone; all entries when None.
            delta: At which δ its ε is told; the ledger's own when None.
            study: What one study spent alone, by its digest; all entries when None.
        """
        with self.file.reading() as db:
            limit = self.limits.of(db, unit)
            pasts = [past.answers for past in rows.pasts(db, unit, run, study)] if db else []
            return self._balance(limit, pasts, delta)

    def after(self, answers: Sequence[NoisyAnswer], source: str, unit: Unit = "patient") -> Balance:
        """Where the unit would stand that has spent most, had it been in more answers.

        Args:
            answers: Those; they are not entered.
            source: Of those in them; some may be new to it, who may be anybody elsewhere.
            unit: Patient, record or hospital.
        """
        with self.file.reading() as db:
            limit = self.limits.of(db, unit)
            pasts = [past.answers for past in rows.pasts(db, unit)] if db else []
            pasts.append(rows.spent_of(db, unit, source)[1] if db else [])
        return self._balance(limit, [merge([*past, *answers]) for past in pasts])

    def _balance(
        self, limit: Limit, totals: Iterable[Sequence[NoisyAnswer]], delta: float | None = None
    ) -> Balance:
        """The one who has spent most by each of both counts, which may be two."""
        given, at = list(totals), delta or limit.delta
        spent = max((self.accountant.epsilon(each, at) for each in given), default=0.0)
        used = max((self.accountant.used(each, limit) for each in given), default=0.0)
        return Balance(spent, limit.epsilon, at, limit.rule, limit.order, used)

    def standings(self, unit: Unit = "patient") -> list[Standing]:
        """All who spent anything, those of the same past together, whoever spent most first."""
        with self.file.reading() as db:
            if db is None:
                return []
            limit, runs = self.limits.of(db, unit), rows.runs_of(db, unit)
            found = [
                Standing(
                    past.source,
                    past.members,
                    tuple(sorted({run for cohort in past.cohorts for run in runs[cohort]})),
                    self.accountant.epsilon(merge(past.answers), limit.delta),
                    self.accountant.used(past.answers, limit),
                )
                for past in rows.pasts(db, unit)
            ]
        return sorted(found, key=lambda each: -each.spent)

    def crowd(self, unit: Unit = "patient", source: str | None = None) -> int:
        """The most who were in one piece of work, of one source or of any; 0 for the hospital."""
        with self.file.reading() as db:
            return rows.crowd(db, unit, source) if db and unit != "hospital" else 0

    def limit_for(
        self,
        epsilon: float,
        delta: float,
        unit: Unit = "patient",
        rule: Rule | None = None,
        order: int | None = None,
    ) -> Limit:
        """A limit as `set_limit` takes it.

        Args:
            epsilon: ε in all.
            delta: At which δ.
            unit: Whose limit.
            rule: What work must pass; as before when None.
            order: Of the filter; the one that ε and δ give when None.

        Raises:
            SiteError: It is no limit, or with it work that was done so far would be refused: δ is
                too large for so many patients.
        """
        check_limit(epsilon, delta)
        crowd = self.crowd(unit)
        if crowd * delta >= 1:
            message = f"δ of {delta:g} is too large for the {crowd} patients that studies had here"
            raise SiteError(message, remedy=f"Give less than one by their number, {1 / crowd:.3g}")
        order = order or self.limits.order(epsilon, delta)
        return Limit(epsilon, delta, rule or self.limit(unit).rule, order)

    def set_limit(self, limit: Limit, unit: Unit = "patient") -> None:
        """Say how much each patient (or record, or the hospital) may spend in all, from now on.

        Args:
            limit: As `limit_for` makes it.
            unit: Whose limit.
        """
        with self.file.writing() as db:
            self.limits.add(db, unit, limit)

    def limit(self, unit: Unit = "patient") -> Limit:
        """What a unit may spend in all, and by which rule."""
        with self.file.reading() as db:
            return self.limits.of(db, unit)

    def limit_history(self) -> list[LimitSet]:
        """All limits that were ever set, the first ones too; none before anything was entered."""
        with self.file.reading() as db:
            return self.limits.history(db) if db else []

    def entries(self) -> list[rows.Entry]:
        """All entries, in the order they were made."""
        with self.file.reading() as db:
            return rows.entries(db) if db else []


def _beyond(after: Balance, unit: Unit) -> str:
    """Why work is refused, for the hospital itself."""
    if after.spent > after.limit:
        return f"with it a {unit} would have spent ε = {after.spent:.3g} of {after.limit:.3g}"
    return (
        f"with it a {unit} would have spent ε = {after.spent:.3g} of {after.limit:.3g}, and "
        f"{after.used:.1%} of what the filter of order {after.order} admits, so that the limit "
        f"would no longer be proven for studies chosen by what earlier ones gave; if the hospital "
        f"wants to allow it: medfed ledger set-limit, with a higher --epsilon, a lower --order, or "
        f"--rule sum, which is only proven for studies that no answer helped to choose"
    )
