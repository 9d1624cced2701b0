"""What a study's privacy lines mean at a site: what is answered at all, and that it is paid for."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from medfed.core.aggregator import Gathered
from medfed.core.data import SetName, SiteData
from medfed.core.errors import Refused
from medfed.core.files import canonical_json
from medfed.core.ledger import Ledger, Spend, comparable
from medfed.core.mechanism import Cost, CountedScores, Mechanism, NoisyAnswer, PaidQuery, repeated
from medfed.core.query import Query
from medfed.core.registry import Part, make
from medfed.core.rehearsal import noised_facts, site_plan
from medfed.core.study import Study
from medfed.core.task import LocalJob, Task
from medfed.core.update import Array, Stats, Tensors, Update, group, grouped
from medfed.federation.wire import Order

ASKED = "privacy"
"""In an order's body: for each mechanism, in the study's order, what it asks of the sites."""
ATTEMPT = "attempt"
"""In an order's body: which try at the round it is, where the coordinator adds the noise."""
SCORE = "score/"
"""How the names of scores begin, among the statistics of a reply."""


class Attempts(Protocol):
    """The marks of tries at a round, where no going back to a checkpoint brings them back."""

    def mark(self, round_: int) -> str:
        """The mark of the try at hand; the same again until it is used up."""

    def used(self) -> None:
        """Use the mark up, durably."""


class CoordinatorPrivacy:
    """The coordinator's part of a study's privacy: what it asks, and what it does to a total.

    Where the coordinator adds the noise, a round that is done again from an older checkpoint would
    give the same sum a second time, with other noise, and the sites would send what they stored
    and were paid for once. So each try at a round has a mark in its orders, used up before the
    noise is drawn: another try is another order, for which sites work, and pay, anew.

    Args:
        study: The study.
        attempts: Where marks are kept; None where none is kept, and every order is another.
    """

    def __init__(self, study: Study, attempts: Attempts | None = None) -> None:
        self.attempts = attempts
        self.mechanisms: tuple[Mechanism, ...] = tuple(
            make("mechanism", part) for part in study.privacy
        )
        self.plan = site_plan(study, study.sites[0]) if self.mechanisms else None

    def asks(self, memory: Tensors, round_: int) -> dict[str, Any]:
        """What goes into the body of an order to train."""
        numbered = enumerate(self.mechanisms)
        asked = [dict(one.asks(group(_memory(i), memory))) for i, one in numbered]
        body: dict[str, Any] = {ASKED: asked} if any(asked) else {}
        if self._adds_noise:
            body[ATTEMPT] = self.attempts.mark(round_) if self.attempts else secrets.token_hex(16)
        return body

    @property
    def _adds_noise(self) -> bool:
        return any(mechanism.trusts_coordinator for mechanism in self.mechanisms)

    def total(self, gathered: Gathered, memory: Tensors) -> tuple[Gathered, dict[str, Array]]:
        """The total that may be used, and the mechanisms' memory for the next round."""
        kept: dict[str, Array] = {}
        if self._adds_noise and self.attempts:
            self.attempts.used()
        for i, mechanism in enumerate(self.mechanisms):
            assert self.plan is not None  # noqa: S101  # there are mechanisms
            mine = group(_memory(i), memory)
            total, mine_next = mechanism.on_total(gathered.total, self.plan, mine)
            kept |= grouped(_memory(i), mine_next)
            gathered = replace(gathered, total=_with_scores(total, gathered.total))
        return gathered, kept


def _memory(number: int) -> str:
    return f"{ASKED}{number}"


def _with_scores(total: Update, before: Update) -> Update:
    """A total with the scores that came beside it: those of public patients, if any."""
    scores = {k: v for k, v in before.stats.items() if k.startswith(SCORE)}
    return replace(total, stats={**total.stats, **scores})


class SitePrivacy:
    """The privacy of one study at one site; the till at which its mechanisms pay.

    A study without privacy lines goes through it unchanged.

    Args:
        study: The study, as the site approved it.
        data: The site's patients in it.
        ledger: The site's ledger; None where it keeps none.
        repeats: How many rounds may be paid for anew, because they came to nothing.

    Raises:
        Refused: There are privacy lines and no ledger, or too many patients for some δ.
    """

    def __init__(
        self, study: Study, data: SiteData, ledger: Ledger | None, repeats: int = 0
    ) -> None:
        self.study = study
        self.repeats = repeats
        self.data = data
        self.ledger = ledger
        self.mechanisms: tuple[Mechanism, ...] = tuple(
            make("mechanism", part) for part in study.privacy
        )
        self._order: Order | None = None
        paid = (*study.statistics, *noised_facts(study))
        self.queries: dict[bytes, PaidQuery] = {
            canonical_json(part.to_json()): make("query", part) for part in paid
        }
        if not self.mechanisms and not self.queries:
            return
        if ledger is None:
            raise Refused("not-private", "this site keeps no ledger of its patients' privacy")
        if self.mechanisms:
            self.plan = site_plan(study, data.site)
        self._check_people()

    def _check_people(self) -> None:
        """Each δ is below one by the number of those whom it is about."""
        count = self.data.count
        for mechanism in self.mechanisms:
            sites = len(self.study.sites)
            if mechanism.delta * (sites if mechanism.unit == "hospital" else count("train")) >= 1:
                message = "this site has too many patients for the δ of the study"
                remedy = "Give a smaller delta, and the patients as they are, roughly"
                raise Refused("not-private", message, remedy=remedy)
            if mechanism.counts_scores and mechanism.delta * count("test") >= 1:
                message = "this site has too many test patients for the δ of noised scores"
                raise Refused("not-private", message, remedy="Give a smaller delta")
        for query in self.queries.values():
            if query.delta * sum(count(on) for on in query.of(self.data)) >= 1:
                message = "this site has too many patients for the δ of a statistic or noised fact"
                remedy = "Give each statistic a smaller delta; declared facts need none"
                raise Refused("not-private", message, remedy=remedy)

    @property
    def active(self) -> bool:
        """Whether the study has privacy lines."""
        return bool(self.mechanisms)

    @property
    def once(self) -> bool:
        """Whether some mechanism costs once a run, for what the site's process then keeps."""
        return any(mechanism.once for mechanism in self.mechanisms)

    @property
    def round(self) -> int:
        """The round that is being worked on."""
        return self._at_work.round

    @property
    def _at_work(self) -> Order:
        assert self._order is not None  # noqa: S101  # `begin` comes first
        return self._order

    def begin(self, order: Order) -> None:
        """Take up an order, if it asks for nothing but what the study lets out.

        Raises:
            Refused: ``not-private``.
        """
        self._order = order
        if not self.active:
            return
        if order.purpose == "train" and order.round > self.study.rounds:
            message = f"the study has {self.study.rounds} rounds, and no more were approved"
            raise Refused("not-private", message)

    def admit(self, asked: Part, query: Query) -> None:
        """Pay for a query before it is worked on, if it is one that has a price.

        Raises:
            Refused: ``not-private``: the study names no such statistic; or ``budget-spent``.
        """
        named = self.queries.get(canonical_json(asked.to_json()))
        if named is None and (self.active or isinstance(query, PaidQuery)):
            message = "the study names no such statistic, and no site answers for it"
            raise Refused("not-private", message)
        if named is not None:
            for on in named.of(self.data):
                if self.data.count(on):
                    self.pay(named.cost(), on)

    def wrap(self, job: LocalJob) -> LocalJob:
        """A workplace whose answers may leave."""
        for mechanism in self.mechanisms:
            job = mechanism.wrap(job, self.plan, self)
        return job

    def scored(self, sets: Sequence[SetName]) -> tuple[SetName, ...]:
        """Those of the sets whose figures may leave."""
        return tuple(
            one for one in sets if all(one in mechanism.open_sets for mechanism in self.mechanisms)
        )

    @property
    def explains(self) -> bool:
        """Whether what inputs are worth may leave: it is measured on held-out patients."""
        return len(self.scored(("valid", "test"))) == 2

    def sealed(self, update: Update, content: Mapping[str, Any]) -> Update:
        """What of an update may leave."""
        asked = content.get(ASKED) or [{} for _ in self.mechanisms]
        if len(asked) != len(self.mechanisms):
            raise Refused("malformed-order", "the order does not fit the study's privacy lines")
        for mechanism, its in zip(self.mechanisms, asked, strict=True):
            update = mechanism.on_site(update, self.plan, self, its)
        return update

    def counts(self, on: SetName, *, final: bool) -> bool:
        """Whether a set's figures leave as noised counts: final ones, where no others may."""
        return (
            final
            and self.active
            and not self.scored((on,))
            and all(mechanism.counts_scores for mechanism in self.mechanisms)
        )

    def counted(self, task: Task, evaluate: Callable[[], Stats], on: SetName) -> Stats:
        """A set's figures as noised counts, the number of patients among them."""
        assert isinstance(task, CountedScores)  # noqa: S101  # else the study was refused
        counts = task.count_scores(evaluate())
        for mechanism in self.mechanisms:
            counts = mechanism.noised(counts, on, self)
        many = np.array(max(0.0, round(float(counts.sum()))))
        return {"patients": many, **task.scores_from(counts)}

    def pay(self, cost: Cost, on: SetName = "train") -> None:
        """Enter a cost into the site's ledger; see `medfed.core.mechanism.Till`."""
        assert self.ledger is not None  # noqa: S101  # checked when this was made
        order, study = self._at_work, self.study
        own = () if cost.unit == "hospital" else self.data.sets[on]
        spend = Spend(
            study=order.study,
            title=study.title,
            run=order.run,
            order=order.id,
            round=order.round,
            purpose=order.purpose,
            source=comparable(study.source),
            patients=own,
            cost=cost,
            approved=self._approved(cost, on),
            delta=min(one.delta for one in self._priced(cost)),
        )
        self.ledger.spend(spend)

    def _approved(self, cost: Cost, on: SetName) -> tuple[NoisyAnswer, ...]:
        """What the study may cost in all: its rounds, and those that came to nothing."""
        asked = [a for one in self.queries.values() for a in one.cost().answers]
        once = repeated(asked if cost.unit == "patient" else (), self.repeats)
        if on != "train":  # counted once, when all rounds are done
            scores = () if self._at_work.purpose == "query" else cost.answers
            return (*once, *repeated(scores, self.repeats))
        own = [one for one in self.mechanisms if one.unit == cost.unit]
        wholes = ((one.cost(self.plan).answers, self._share(one)) for one in own)
        return (*once, *(a for answers, share in wholes for a in repeated(answers, share)))

    def _share(self, mechanism: Mechanism) -> float:
        """How much more than a whole run may be paid for, as a multiple of it."""
        return self.repeats if mechanism.once else self.repeats / self.plan.rounds

    def _priced(self, cost: Cost) -> list[Mechanism | PaidQuery]:
        """What of the study has costs of this unit."""
        mechanisms = [one for one in self.mechanisms if one.unit == cost.unit]
        return [*mechanisms, *(self.queries.values() if cost.unit == "patient" else ())]
