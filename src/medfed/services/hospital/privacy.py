"""What a hospital has spent of its patients' privacy, by its site's ledger, and what it allows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medfed.aggregators.encrypted.site import CONTEXT
from medfed.aggregators.secure.phases import Phase
from medfed.aggregators.secure.seated import KEYS
from medfed.aggregators.secure.site import SHARES
from medfed.core.errors import MedfedError, Refused, SiteError
from medfed.core.ledger import RULES, UNITS, Balance
from medfed.core.mechanism import Unit
from medfed.core.study import Study
from medfed.federation.site_folder import SiteFolder
from medfed.services.accounts import Identity, Subject
from medfed.services.accounts.login import require_confirmed
from medfed.services.audit import record
from medfed.services.hospital.participation import DECIDE
from medfed.services.hospital.refused import RefusedStudy, refused_studies
from medfed.services.limit_change import change_limit
from medfed.services.outlook import Outlook, outlooks
from medfed.services.prices import Price
from medfed.services.sites import open_ledger, site_vault
from medfed.services.trouble import Missing
from medfed.storage.database import Database
from medfed.storage.ledger import SqliteLedger, Standing
from medfed.storage.ledger_rows import Entry

PRELUDE = (KEYS, SHARES, CONTEXT)
"""Steps of conversations that come before anything of the answer leaves."""


@dataclass(frozen=True, slots=True)
class Account:
    """What one kind of unit may spend, and has.

    Attributes:
        unit: Patient, record or hospital.
        balance: Where the one stands who has spent most.
        standings: All who spent anything, those of the same past together.
    """

    unit: Unit
    balance: Balance
    standings: Sequence[Standing]


@dataclass(frozen=True, slots=True)
class Spending:
    """What one run of a study was paid for.

    Attributes:
        run: The run.
        study: Digest of its study.
        title: Of its study.
        unit: Who paid.
        first: When the first entry was made, ISO 8601.
        last: When the last one was.
        rounds: Rounds of training.
        questions: Orders for noised statistics and facts.
        figures: Orders for noised final figures.
        again: How often a round was paid for beyond once, mostly because its work was done anew.
        lost: Rounds and questions that were paid for and of which no receipt tells; None where
            the receipts cannot be read. Receipts name no order: one of a question that cost
            nothing can stand for one that was paid for.
    """

    run: str
    study: str
    title: str
    unit: Unit
    first: str
    last: str
    rounds: int
    questions: int
    figures: int
    again: int
    lost: int | None


class Privacy:
    """What one hospital has spent, and what it allows.

    Args:
        site: The site's own folder.
        database: The console's.
    """

    def __init__(self, site: Path, database: Database) -> None:
        self.site = site
        self.database = database

    def accounts(self) -> Sequence[Account]:
        """Each kind of unit, those that nothing was spent of too.

        Raises:
            SiteError: The ledger cannot be used.
        """
        book = self._book()
        return [Account(unit, book.balance(unit), book.standings(unit)) for unit in UNITS]

    def spendings(self) -> Sequence[Spending]:
        """What runs were paid for, the latest first.

        Raises:
            SiteError: The ledger cannot be used.
        """
        runs: dict[tuple[str, Unit], list[Entry]] = {}
        for entry in self._book().entries():
            runs.setdefault((entry.run, entry.unit), []).append(entry)
        found = [self._spending(entries) for entries in runs.values()]
        return sorted(found, key=lambda each: each.last, reverse=True)

    def cost_of(self, spending: Spending) -> float:
        """ε of a run by itself; those of several runs together cost less than their sum."""
        return self._book().balance(spending.unit, run=spending.run).spent

    def refused(self) -> Sequence[RefusedStudy]:
        """Studies for which a limit had no room, and of which nothing was admitted since.

        Raises:
            SiteError: The ledger cannot be used.
        """
        paid = {entry.study: entry.time for entry in self._book().entries()}
        found = refused_studies(self.site, "budget-spent")
        return [each for each in found if paid.get(each.digest, "") <= each.last]

    def outlook(self, study: Study, prices: Iterable[Price]) -> Sequence[Outlook]:
        """What a study would cost here, and what is left for it.

        Args:
            study: The study.
            prices: What it costs at this hospital, by unit.

        Raises:
            SiteError: The ledger cannot be used.
        """
        return outlooks(self._book(), study, prices)

    def set_limit(
        self, by: Identity, unit: str, epsilon: float, delta: float, rule: str | None = None
    ) -> Account:
        """Say how much may be spent in all, by all studies together.

        Args:
            by: Who says so.
            unit: Of whom: patient, record or hospital.
            epsilon: ε in all.
            delta: At which δ.
            rule: What work must pass; as before when None.

        Raises:
            AccessError: ``by`` may not, must confirm first, or is a program.
            Missing: There is no such unit, or no such rule.
            SiteError: It is no limit, or the ledger cannot be used.
        """
        subject = Subject(f"privacy limit of a {unit}")
        message = "a program cannot set a limit for a hospital"
        remedy = "Set it in a browser, as a person"
        require_confirmed(self.database, by, DECIDE, subject, (message, remedy))
        known = next((each for each in UNITS if each == unit), None)
        if known is None:
            raise Missing("there is no such unit", remedy=f"Choose one of {', '.join(UNITS)}")
        known_rule = next((each for each in RULES if each == rule), None)
        if known_rule is None and rule is not None:
            raise Missing("there is no such rule", remedy=f"Choose one of {', '.join(RULES)}")
        book = self._book()
        new = book.limit_for(epsilon, delta, known, known_rule)
        change_limit(book, known, new, partial(self._recorded, by))
        return Account(known, book.balance(known), book.standings(known))

    @contextmanager
    def _recorded(self, by: Identity, subject: str, reason: str) -> Iterator[None]:
        """Record what is about to be done, and if it fails that too.

        The one is done when the other begins: nobody waits for a busy ledger with the console's
        database held.
        """
        with self.database.write() as session:
            record(session, by, DECIDE, subject, reason=reason)
        try:
            yield
        except SiteError as error:
            with self.database.write() as session:
                record(session, by, DECIDE, subject, allowed=False, reason=f"failed: {error}")
            raise

    def _book(self) -> SqliteLedger:
        return open_ledger(self.site)

    def _spending(self, entries: Sequence[Entry]) -> Spending:
        first, last = entries[0], entries[-1]
        trained = [each for each in entries if each.purpose == "train"]
        rounds = {each.round for each in trained}
        return Spending(
            run=last.run,
            study=last.study,
            title=last.title,
            unit=last.unit,
            first=first.time,
            last=last.time,
            rounds=len(rounds),
            questions=len(_orders(entries, "query")),
            figures=len(_orders(entries, "evaluate")),
            again=len({each.order for each in trained}) - len(rounds),
            lost=self._lost(last.run, entries),
        )

    def _lost(self, run: str, entries: Sequence[Entry]) -> int | None:
        """How many rounds and questions no receipt tells of."""
        folder = SiteFolder(self.site, site_vault(self.site))
        try:
            left = [each for each in folder.receipts(run) if _answers(each)]
            asked = {
                _question(n, each) for n, each in enumerate(left) if each["purpose"] == "query"
            }
            rounds = {(each["round"], each["purpose"]) for each in left}
        except Refused:
            asked, rounds = set(), set()  # no run whose answers could leave is called so
        except (MedfedError, AttributeError, LookupError, TypeError):
            return None  # the page of receipts says that they are damaged
        paid = {(each.round, each.purpose) for each in entries if each.purpose != "query"}
        return len(paid - rounds) + max(0, len(_orders(entries, "query")) - len(asked))


def _orders(entries: Sequence[Entry], purpose: str) -> set[str]:
    """What paid for a purpose: one order may be entered once for each set of patients."""
    return {each.order for each in entries if each.purpose == purpose}


def _answers(receipt: Mapping[str, Any]) -> bool:
    """Whether a reply held an answer, and not only keys for one that comes later."""
    return str(receipt["phase"]).partition("-")[0] not in PRELUDE


def _question(number: int, receipt: Mapping[str, Any]) -> str | int:
    """What tells questions apart, which all have round 0: each reply, or each conversation."""
    asked = Phase.read(str(receipt["phase"]))
    return asked.name if asked else number
