"""The work of one order at a site: a question, training, or scoring."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from medfed.core.aggregator import Answering
from medfed.core.data import SiteData
from medfed.core.errors import Refused, WireError
from medfed.core.query import Query
from medfed.core.registry import make, part_from_json
from medfed.core.strategy import Turn
from medfed.core.task import Execution, LocalJob, WatchedJob
from medfed.core.update import Tensors, Update, group, grouped
from medfed.federation.site_desk import Desk, Trained
from medfed.federation.wire import Order

NEEDED = {
    "query": {"query", "facts"},
    "train": {"facts", "execution", "score"},
    "evaluate": {"facts", "execution", "score"},
}
"""What the body of an order must hold."""


class Work:
    """One order's work: the aggregator asks for it at most once, whatever its phases.

    Attributes:
        memory: What the site remembers of the round.
        learned: Whether that is more than what is kept of it already.
    """

    def __init__(
        self, order: Order, desk: Desk, received: Update, memory: Mapping[str, Any]
    ) -> None:
        self.order = order
        self.desk = desk
        self.received = received
        self.memory: dict[str, Any] = dict(memory)
        self.learned = order.memory < order.round
        self.content = content_of(order)
        self.aggregator: Answering = desk.aggregator
        self.personal_model: Tensors = {}

    def answer(self) -> Update:
        """Hold the site's half of the aggregator's conversation."""
        work = {"query": self._query, "train": self._train, "evaluate": self._evaluate}
        todo: Callable[[], Update] = work[self.order.purpose]
        mine = group("aggregator", self.memory)
        update, kept = self.aggregator.answer(self.order.phase, self.received, todo, mine)
        if kept is not mine:
            self._remember("aggregator", kept)
        return update

    def _query(self) -> Update:
        asked = part_from_json(self.content["query"])
        query: Query = make("query", asked)
        self.desk.privacy.admit(asked, query)
        return query.local(self.desk.data, self.content["facts"])

    def _train(self) -> Update:
        """The update; of a conversation that begins again, the one that was made and paid for."""
        order, desk = self.order, self.desk
        if desk.seated is None:
            return self._trained()
        asked = (order.run, order.round, order.memory, order.body, order.payload_sha256)
        if desk.trained is None or desk.trained.asked != asked:
            desk.trained = None  # not two of them at a time
            desk.trained = Trained(asked, self._trained(), self.memory)
        self.memory, self.learned = dict(desk.trained.memory), True
        return desk.trained.update

    def _trained(self) -> Update:
        job, strategy, turn = self._job(), self.desk.strategy, self._turn()
        mine = group("strategy", self.memory)
        model = strategy.local_model(self.received.tensors, mine)
        scores = self._scores(job, model)
        update, kept = strategy.train(self.received.tensors, mine, job, turn)
        self._remember("strategy", kept)
        packed = self._packed(self.desk.privacy.sealed(update, self.content))
        return Update(packed.tensors, packed.weights, {**packed.stats, **scores})

    def _packed(self, update: Update) -> Update:
        compression = self.desk.compression
        if compression is None:
            return update
        packed, kept = compression.pack(update, group("compression", self.memory))
        self._remember("compression", kept)
        return packed

    def _evaluate(self) -> Update:
        self.desk.trained = None
        job, strategy = self._job(), self.desk.strategy
        mine: Tensors = group("strategy", self.memory)
        if self.content.get("finish"):
            mine = strategy.finish(self.received.tensors, mine, job, self._turn())
            self._remember("strategy", mine)
        model = strategy.local_model(self.received.tensors, mine)
        if strategy.personal:
            self.personal_model = model
        final = self.content.get("explain", False)  # else it scores one more round
        stats = self._scores(job, model, final=final)
        if final and self.desk.privacy.explains:
            stats |= grouped("explain", job.explain(model))
        return Update(stats=stats)

    def _scores(self, job: LocalJob, model: Tensors, *, final: bool = False) -> dict[str, Any]:
        score = job.evaluate if final or self.desk.watch is None else self.desk.watch
        stats: dict[str, Any] = {}
        for on in self.desk.privacy.scored(self.content["score"]):
            scores = {"patients": np.array(self.desk.data.count(on)), **score(model, on)}
            stats |= grouped(f"score/{on}", scores)
        return {**stats, **self._counted(job, model, final=final)}

    def _counted(self, job: LocalJob, model: Tensors, *, final: bool) -> dict[str, Any]:
        """The final figures of test patients as noised counts, where the study has them so."""
        privacy = self.desk.privacy
        if not privacy.counts("test", final=final) or "test" not in self.content["score"]:
            return {}
        found = privacy.counted(self.desk.task, lambda: job.evaluate(model, "test"), "test")
        return dict(grouped("score/test", found))

    def _job(self) -> LocalJob:
        desk, terms = self.desk, (self.content["facts"], self.content["execution"])
        if desk.job is None or desk.terms != terms:
            facts, execution = terms
            seed = desk.study.seed
            plain = desk.task.job(desk.data, facts, seed, Execution(**execution))
            desk.job = desk.privacy.wrap(plain)
            desk.watch = desk.job.watch if isinstance(desk.job, WatchedJob) else None
            desk.terms = terms
        return desk.job

    def _turn(self) -> Turn:
        return Turn(self.order.round, self.desk.study.rounds, len(self.desk.study.sites))

    def _remember(self, whose: str, memory: Tensors) -> None:
        kept = {k: v for k, v in self.memory.items() if not k.startswith(f"{whose}/")}
        self.memory, self.learned = {**kept, **grouped(whose, memory)}, True


def content_of(order: Order) -> Mapping[str, Any]:
    """What the order asks, once it is certain that it says so in full."""
    try:
        content = order.content()
    except WireError as error:
        raise Refused("malformed-order", error.message) from None
    if not isinstance(content, Mapping) or NEEDED[order.purpose] - content.keys():
        raise Refused("malformed-order")
    return content


def patients_used(order: Order, content: Mapping[str, Any], data: SiteData) -> int:
    """Patients whose records went into a reply."""
    sets = set(content.get("score", ()))
    if order.purpose != "evaluate" or content.get("finish"):
        sets.add("train")
    return sum(data.count(name) for name in sets)
