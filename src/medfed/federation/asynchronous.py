"""The asynchronous loop (FedBuff): a step whenever enough replies are in; nobody waits.

A site works on the aggregate it was sent while others move the model on; its reply is weighted by
how stale it has become. A site that has replied gets the next aggregate, never the same one again.
The state holds who is at work on which aggregate, and those aggregates, so that a run that was
killed sends the same orders again. The order of arrival is in each row (``participants``): with it
a run can be replayed to the same bits on any machine.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medfed.core.aggregator import Gathered, Spooled
from medfed.core.errors import QuorumError
from medfed.core.events import RoundStarted
from medfed.core.study import Study
from medfed.core.task import Execution
from medfed.core.update import Array, State, Tensors, Update, add_stats, group, grouped
from medfed.federation.coordinator import Coordinator, Row
from medfed.federation.exchange import Exchange, Post
from medfed.federation.spool import SpooledUpdate
from medfed.federation.wire import Order

SENT = "sent"
"""Group of State.memory that keeps aggregates which sites are still at work on."""

Arrivals = Mapping[int, Sequence[str]]
"""For each round, the sites whose replies made it, in the order of arrival."""


@dataclass(frozen=True, slots=True)
class _Flight:
    """An order in flight."""

    site: str
    base: int
    order: Order
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class _Weighted(Spooled):
    """A spooled reply whose tensors count for less; its weights stay as they are."""

    reply: Spooled
    factor: float
    site: str

    def names(self) -> Sequence[str]:
        return self.reply.names()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.reply.shape(name)

    def chunk(self, name: str, start: int, stop: int) -> Array:
        return np.multiply(self.reply.chunk(name, start, stop), np.float32(self.factor))

    def weights(self) -> Mapping[str, float]:
        return self.reply.weights()

    def stats(self) -> Tensors:
        return self.reply.stats()


Taken = list[tuple[_Flight, SpooledUpdate]]


class AsynchronousCoordinator(Coordinator):
    """A round is a step from ``buffer`` replies, whichever sites they come from.

    Args:
        study: The study; its strategy is asynchronous.
        post: Who asks, through what, and where replies lie.
        execution: What must stay the same for the same bits.
        replay: Arrivals of an earlier run to repeat; empty to take replies as they come.
    """

    def __init__(
        self, study: Study, post: Post, execution: Execution, replay: Arrivals | None = None
    ) -> None:
        super().__init__(study, post, execution)
        self._buffer: int = min(self.strategy.buffer, len(study.sites))  # type: ignore[attr-defined]
        self._replay = replay or {}
        self._flights: dict[str, _Flight] = {}
        self._held: dict[str, tuple[_Flight, SpooledUpdate]] = {}

    def round(self, state: State) -> tuple[State, Row]:
        """Take in replies until there are enough for a step."""
        start = time.perf_counter()
        turn = self._turn(state.round + 1)
        exchange = self._send(state)
        at_work = tuple(flight.site for flight in self._flights.values())
        self.post.on_event(RoundStarted(turn.round, "train", at_work))
        taken = self._fitting(self._collect(exchange, self._wanted(turn.round)), exchange)
        gathered = self._combine(taken, state)
        row, score = self._score_row(state, exchange, _fresh(gathered, taken, state.round))
        new = self._advance(state, turn, exchange, gathered, score)
        new = new.evolve(
            # A site's memory goes by the round of its own order, not by the step it got into.
            counted={**state.counted, **{f.site: f.base + 1 for f, _ in taken}},
            waiting=tuple((flight.site, flight.base) for flight in self._flights.values()),
            row={**new.row, "staleness": {f.site: state.round - f.base for f, _ in taken}},
        )
        return self._timed(_with_sent(new, state), start), row

    def settled(self) -> None:
        """Remove the spooled replies, but for those that wait for a later step."""
        for file in self.post.spool.glob("*.safetensors"):
            if file.stem.partition("-")[0] not in self._flights:
                file.unlink(missing_ok=True)

    def close(self, state: State) -> Row:
        """Let go of replies that are still to come, then score the last aggregate."""
        for order in self._flights:
            self.post.channel.cancel(order)
        self._flights.clear()
        self._held.clear()
        return super().close(state)

    def _send(self, state: State) -> Exchange:
        """Send what is not at work yet; after a restart also what was."""
        if not self._flights:
            for base in dict.fromkeys(base for _, base in state.waiting):
                sites = [site for site, at in state.waiting if at == base]
                model = group(str(base), group(SENT, state.memory))
                self._fly(state.evolve(round=base, model=model), sites)
        busy = {flight.site for flight in self._flights.values()}
        return self._fly(state, [site for site in self.study.sites if site not in busy])

    def _fly(self, state: State, sites: list[str]) -> Exchange:
        body = self._body(state.facts)
        exchange = self._exchange(state, "train", tuple(sites), body)
        orders = exchange.orders("update", exchange.payloads(sites, {}))
        spooled = exchange.spooled(orders)
        for site, (order, _) in orders.items():
            flight = _Flight(site, state.round, order, exchange)
            self._flights[order.id] = flight
            if site in spooled:
                self._held[site] = (flight, spooled[site])
        exchange.send(orders, skip=spooled)
        return exchange

    def _wanted(self, round_: int) -> Sequence[str] | None:
        return self._replay.get(round_)

    def _collect(self, exchange: Exchange, wanted: Sequence[str] | None) -> Taken:
        """Replies until the buffer is full, or until the logged ones are in."""
        taken: Taken = []
        self._take(taken, wanted)
        if not self._enough(taken, wanted):
            for delivery in self.post.channel.replies(self.post.deadline):
                flight = self._flights.get(delivery.order)
                if flight is None or flight.site != delivery.site:
                    continue
                if flight.exchange.asked_again(delivery, flight.order):
                    continue
                reply = flight.exchange.receive(delivery, flight.order)
                if reply is not None:
                    flight.exchange.count(flight.site)
                if flight.exchange is not exchange:
                    _merge(flight.exchange, exchange)
                if reply is None:
                    del self._flights[delivery.order]
                    continue
                self._held[flight.site] = (flight, reply)
                self._take(taken, wanted)
                if self._enough(taken, wanted):
                    break
        if not taken or (wanted is not None and len(taken) < len(wanted)):
            raise QuorumError(
                f"step {exchange.round}: no usable reply came within {self.post.deadline:g} s",
                remedy="Nothing is lost: mend the sites and go on with --resume",
            )
        return taken

    def _take(self, taken: Taken, wanted: Sequence[str] | None) -> None:
        """Move held replies into the step: as they came, or in the logged order."""
        while self._held and not self._enough(taken, wanted):
            site = next(iter(self._held)) if wanted is None else wanted[len(taken)]
            if site not in self._held:
                return
            flight, reply = self._held.pop(site)
            del self._flights[flight.order.id]
            taken.append((flight, reply))

    def _enough(self, taken: Taken, wanted: Sequence[str] | None) -> bool:
        return len(taken) >= (self._buffer if wanted is None else len(wanted))

    def _fitting(self, taken: Taken, exchange: Exchange) -> Taken:
        """The replies that can be added up; the others are noted as missing."""
        arrived = {flight.site: reply for flight, reply in taken}
        exchange.drop_odd(arrived)
        return [pair for pair in taken if pair[0].site in arrived]

    def _combine(self, taken: Taken, state: State) -> Gathered:
        weighted: list[Spooled] = [
            _Weighted(reply, self._factor(state.round - flight.base), flight.site)
            for flight, reply in taken
        ]
        own = group("aggregator", state.memory)
        gathered = self.aggregator.gather(lambda *_: weighted, own)
        return self._looked_at(weighted, gathered)

    def _factor(self, staleness: int) -> float:
        weight: float = self.strategy.staleness_weight(staleness)  # type: ignore[attr-defined]
        return weight


def _fresh(gathered: Gathered, taken: Taken, round_: int) -> Gathered:
    """The scores of the current aggregate only: stale replies scored earlier ones."""
    sites = [flight.site for flight, _ in taken if flight.base == round_]
    by_site = {site: gathered.by_site[site] for site in sites}
    return Gathered(Update(stats=add_stats(by_site.values())), tuple(sites), by_site=by_site)


def _with_sent(new: State, old: State) -> State:
    """Keep the aggregates that sites are still at work on, and no others."""
    kept = group(SENT, new.memory)
    memory: dict[str, Any] = {k: v for k, v in new.memory.items() if not k.startswith(f"{SENT}/")}
    for base in {base for _, base in new.waiting}:
        model = old.model if base == old.round else group(str(base), kept)
        memory |= grouped(f"{SENT}/{base}", model)
    return new.evolve(memory=memory)


def _merge(late: Exchange, current: Exchange) -> None:
    """Count a stale reply's traffic and trouble where it arrived."""
    for site, size in late.up.items():
        current.up[site] = current.up.get(site, 0) + size
    late.up.clear()
    current.missing |= late.missing
    late.missing.clear()
    current.seconds |= late.seconds
