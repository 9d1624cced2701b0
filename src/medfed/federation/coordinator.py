"""The round loop: state in, state out; every aggregate is scored in the next exchange."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from medfed.core.aggregator import Aggregator, Ask, Gathered, Spooled, Standing
from medfed.core.events import Notice, RoundFinished, Scored
from medfed.core.query import Query
from medfed.core.registry import Part, make, part_of
from medfed.core.seeding import generator
from medfed.core.strategy import Strategy, Turn
from medfed.core.study import Study
from medfed.core.task import CalibratedTask, Execution, Metrics, Task
from medfed.core.update import Facts, State, Stats, Update, group, grouped
from medfed.federation.exchange import MAX_OVER_MODEL, Exchange, Post
from medfed.federation.likeness import changes
from medfed.federation.privacy import Attempts, CoordinatorPrivacy

log = logging.getLogger(__name__)

Row = Mapping[str, Any]
MEAN = Part("mean")
STATISTICS = "statistics"
"""Among the facts: the statistics that the study asks for. They are not sent to the sites."""


@dataclass(frozen=True)
class Verdict:
    """How one model did, everywhere and at each site.

    Attributes:
        overall: Metrics over the patients of all sites.
        sites: Metrics of each site; empty when the study reports overall figures only.
        patients: Patients scored, by site or under ``overall``.
        importance: What each input is worth; empty where the task cannot say.
        calibration: What the model's scores are worth; None where the task has none, or nobody to
            measure it on. See `medfed.core.task.CalibratedTask`.
        round: The aggregate that was scored.
        bytes_up: Bytes that came from the sites for it.
        bytes_down: Bytes that went to them.
    """

    round: int
    overall: Metrics
    sites: Mapping[str, Metrics] = field(default_factory=dict)
    patients: Mapping[str, int] = field(default_factory=dict)
    importance: Metrics = field(default_factory=dict)
    calibration: Mapping[str, Any] | None = None
    bytes_up: int = 0
    bytes_down: int = 0


class Coordinator:
    """Runs a study's rounds over a channel.

    Args:
        study: The study.
        post: Who asks, through what, and where replies lie.
        execution: What must stay the same for the same bits.
        attempts: Where tries at a round are marked, for privacy whose noise is added here.
    """

    def __init__(
        self, study: Study, post: Post, execution: Execution, attempts: Attempts | None = None
    ) -> None:
        self.study = study
        self.post = post
        self.execution = execution
        self.task: Task = study.make_task()
        self.metric = study.metric
        self.strategy: Strategy = make("strategy", study.strategy)
        self.privacy = CoordinatorPrivacy(study, attempts)
        self.aggregator: Aggregator = make("aggregator", study.aggregator)
        split = make("split", study.split)
        # Facts are sums: a robust rule, which needs whole updates, has nothing to say about them.
        self.summing = self.aggregator if self.aggregator.linear else make("aggregator", MEAN)
        self._drawer: dict[str, Any] = {}
        self._scored_by: tuple[int, tuple[str, ...]] = (-1, ())
        self.scored_on = "valid" if getattr(split, "valid", 0.0) > 0 else "test"

    def begin(self) -> State:
        """Fit the federated facts and build the untrained model."""
        start = time.perf_counter()
        facts: dict[str, Any] = {}
        traffic = {"bytes_up": 0, "bytes_down": 0}
        for query in self.task.prepare():
            facts[query.fact] = self._fit(query, facts, traffic)
        state = self.strategy.begin(self.task.initial(self.study.seed, facts))
        if asked := self.study.statistics:
            facts[STATISTICS] = [self._statistic(part, traffic) for part in asked]
        row = {"seconds": time.perf_counter() - start, **traffic}
        return state.evolve(round=0, facts=facts, row=row)

    def round(self, state: State) -> tuple[State, Row]:
        """One exchange: score the current aggregate, train, combine, step.

        Returns:
            The next state, and the finished row of the aggregate that came in.
        """
        start = time.perf_counter()
        turn = self._turn(state.round + 1)
        body = {**self._body(state.facts), **self.privacy.asks(state.memory, turn.round)}
        exchange = self._exchange(state, "train", self._draw(turn.round), body)
        gathered = self._gather_round(exchange, state)
        if not self.aggregator.sees_sites:
            exchange.check_total(gathered.total)
        gathered, kept = self.privacy.total(gathered, state.memory)
        row, score = self._score_row(state, exchange, gathered)
        new = self._advance(state, turn, exchange, gathered, score)
        return self._timed(new.evolve(memory={**new.memory, **kept}), start), row

    def _advance(
        self,
        state: State,
        turn: Turn,
        exchange: Exchange,
        gathered: Gathered,
        score: float | None,
    ) -> State:
        """The next state: the strategy's step, and what the round loop keeps beside it."""
        stepped = self.strategy.step(state, gathered.total, turn)
        scores = {**state.scores, str(state.round): score} if score is not None else state.scores
        return stepped.evolve(
            round=turn.round,
            memory={**stepped.memory, **grouped("aggregator", gathered.memory)},
            counted={**state.counted, **dict.fromkeys(gathered.participants, turn.round)},
            scores=scores,
            row=_training_row(exchange, gathered, self.study.report),
        )

    def _timed(self, state: State, start: float) -> State:
        """The state with the round's time in its row; says that the round is finished."""
        seconds = time.perf_counter() - start
        row = {**state.row, "seconds": seconds}
        who = tuple(row["participants"])
        traffic = row["bytes_up"], row["bytes_down"]
        losses = row["loss"], row.get("site_loss", {})
        each = row["site_up"], row["site_down"], row.get("site_change", {})
        done = RoundFinished(state.round, who, seconds, *traffic, *losses, *each)
        self.post.on_event(done)
        return state.evolve(row=row)

    def settled(self) -> None:
        """Remove the spooled replies: what was made of them is safe on the disk."""
        for file in self.post.spool.glob("*.safetensors"):
            file.unlink(missing_ok=True)

    def close(self, state: State) -> Row:
        """Score the last aggregate by an exchange of its own; its finished row."""
        body = self._body(state.facts)
        exchange = self._exchange(state, "evaluate", self.study.sites, body)
        gathered = self._gather(exchange, state, phase="score")
        self._scored_by = state.round, gathered.participants
        row, _ = self._score_row(state, exchange, gathered)
        # What scoring cost belongs to the run, not to the round that is scored.
        traffic = {"score_bytes_up": exchange.bytes_up, "score_bytes_down": exchange.bytes_down}
        return {**row, **traffic}

    def judge(self, state: State, *, last: int, finish: bool) -> Verdict:
        """Score a model on the test patients, with intervals and importance.

        Args:
            state: The state whose model is to be judged.
            last: The run's last round: sites have left earlier ones behind, whosever model it is.
            finish: Let a personalised strategy finish (fine-tune) first.
        """
        body = {
            **self._body(state.facts),
            "score": ["test"],
            "explain": True,
            "finish": finish and self.strategy.personal,
        }
        exchange = self._exchange(state, "evaluate", self._judges(state), body)
        exchange.round = last + 1
        gathered = self._gather(exchange, state, phase="judge")
        per_site = _score_stats(gathered, self.study.report)
        return Verdict(
            round=state.round,
            overall=self._metrics(gathered.total.stats, "test", intervals=True),
            sites={s: self._metrics(v, "test", intervals=True) for s, v in per_site.items()},
            patients=_patients(gathered.total.stats, per_site),
            importance=self.task.importance(group("explain", gathered.total.stats)),
            calibration=self._calibration(group("explain", gathered.total.stats)),
            bytes_up=exchange.bytes_up,
            bytes_down=exchange.bytes_down,
        )

    def _judges(self, state: State) -> tuple[str, ...]:
        """Who judges a model: those who scored it just before, where that was the same question.

        Sites that hide in a sum answer a question over one set of sites only.
        """
        round_, sites = self._scored_by
        again = state.round == round_ and self.scored_on == "test"
        return sites if again and not self.aggregator.sees_sites else self.study.sites

    def stop_reason(self, state: State) -> str:
        """Why to stop before the last round; empty to go on."""
        stop = self.study.stop
        scores = [(int(r), s) for r, s in state.scores.items()]
        if stop is None or not scores:
            return ""
        sign = 1.0 if self.task.higher_is_better[stop.metric] else -1.0
        best_round, best = scores[0]
        for at, score in scores[1:]:
            if sign * (score - best) > stop.min_delta:
                best_round, best = at, score
        waited = scores[-1][0] - best_round
        if waited < stop.patience:
            return ""
        since = f"has not improved on {best:.4g} (round {best_round}) for {waited} rounds"
        return f"{stop.metric} {since}"

    def is_best(self, scores: Mapping[str, float]) -> bool:
        """Whether the latest score is the best so far."""
        *earlier, latest = scores.values()
        if not earlier:
            return True
        higher = self.task.higher_is_better[self.metric]
        return latest > max(earlier) if higher else latest < min(earlier)

    def _statistic(self, part: Part, traffic: dict[str, int]) -> Mapping[str, Any]:
        """A statistic that the study asks for; it serves nobody's training."""
        return {"asked": part.to_json(), **self._fit(make("query", part), {}, traffic)}

    def _fit(self, query: Query, facts: Facts, traffic: dict[str, int]) -> Mapping[str, Any]:
        step: Any = query
        for number in range(1000):
            body = {"query": part_of("query", step).to_json(), "facts": dict(facts)}
            exchange = Exchange(self.post, 0, "query", self.study.sites, Update(), body)
            gathered = self.summing.gather(exchange.ask, {})
            traffic["bytes_up"] += exchange.bytes_up
            traffic["bytes_down"] += exchange.bytes_down
            step = step.next(gathered.total)
            if isinstance(step, Mapping):
                self.post.on_event(Notice(f"federated {query.fact}: fitted in {number + 1} steps"))
                return step
        raise RuntimeError(f"query {query.fact} does not end")

    def _exchange(
        self, state: State, purpose: str, sites: tuple[str, ...], body: Mapping[str, Any]
    ) -> Exchange:
        sent = self.strategy.sent(state)
        fits = purpose == "train" and self.aggregator.sees_sites
        round_, counted = state.round + 1, state.counted
        return Exchange(
            self.post,
            round_,
            purpose,
            sites,
            Update(sent),
            body,
            counted,
            fits,
            over=getattr(self.aggregator, "expands", MAX_OVER_MODEL),
            norm_limit=float(getattr(self.aggregator, "norm_limit", 0.0)) if fits else 0.0,
        )

    def _gather_round(self, exchange: Exchange, state: State) -> Gathered:
        if isinstance(self.aggregator, Standing):
            return self.aggregator.gather_on(exchange.ask, exchange.sites, self._drawer)
        replies: list[Spooled] = []

        def ask(phase: str, each: Mapping[str, Update], *together: str) -> Sequence[Spooled]:
            replies[:] = exchange.ask(phase, each, *together)
            return replies

        return self._looked_at(replies, self._gather(exchange, state, ask=ask))

    def _looked_at(self, replies: Sequence[Spooled], gathered: Gathered) -> Gathered:
        """With how each site's change lies to the total: of plain updates, that a study shows."""
        shown = self.study.report == "sites" and not self.privacy.mechanisms
        if not (shown and self.aggregator.sees_sites and self.aggregator.once):
            return gathered
        return replace(gathered, changes=changes(replies, gathered.total))

    def _gather(
        self, exchange: Exchange, state: State, phase: str = "", ask: Ask | None = None
    ) -> Gathered:
        if phase:  # several evaluations of one round must not be taken for each other
            exchange.body = {**exchange.body, "phase": phase}
        return self.aggregator.gather(ask or exchange.ask, group("aggregator", state.memory))

    def _body(self, facts: Facts) -> dict[str, Any]:
        execution = self.execution.to_json()
        sent = {name: fact for name, fact in facts.items() if name != STATISTICS}
        return {"facts": sent, "execution": execution, "score": [self.scored_on]}

    def _turn(self, round_: int) -> Turn:
        return Turn(round_, self.study.rounds, len(self.study.sites))

    def _draw(self, round_: int) -> tuple[str, ...]:
        sites = self.study.sites
        count = max(1, round(self.study.sampling.fraction * len(sites)))
        if count == len(sites):
            return sites
        rng = generator(self.study.seed, round_, "sampling")
        drawn = set(rng.choice(len(sites), size=count, replace=False).tolist())
        return tuple(site for i, site in enumerate(sites) if i in drawn)

    def _score_row(
        self, state: State, exchange: Exchange, gathered: Gathered
    ) -> tuple[Row, float | None]:
        metrics = _values(self._metrics(gathered.total.stats, self.scored_on))
        per_site = _score_stats(gathered, self.study.report)
        sites = {s: _values(self._metrics(v, self.scored_on)) for s, v in per_site.items()}
        self.post.on_event(Scored(state.round, metrics, sites, self.scored_on))
        row = {
            **state.row,
            "round": state.round,
            "set": self.scored_on,
            "metrics": metrics,
            "sites": sites,
        }
        return row, metrics.get(self.metric)

    def _metrics(self, stats: Stats, on: str, *, intervals: bool = False) -> Metrics:
        try:
            return self.task.summarise(group(f"score/{on}", stats), intervals=intervals)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # They came from outside: a site that leaves some out must not end everybody's run.
            log.warning("statistics that the task cannot read: %r", error)
            return {}

    def _calibration(self, stats: Stats) -> Mapping[str, Any] | None:
        if not isinstance(self.task, CalibratedTask):
            return None
        try:
            return self.task.calibration(stats)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            log.warning("statistics that the task cannot read: %r", error)
            return None


def _training_row(exchange: Exchange, gathered: Gathered, report: str) -> dict[str, Any]:
    """What is known of a round before its aggregate is scored."""
    stats = gathered.total.stats
    row: dict[str, Any] = {
        "participants": list(gathered.participants),
        "missing": dict(exchange.missing),
        "site_seconds": dict(exchange.seconds),
        "bytes_up": exchange.bytes_up,
        "bytes_down": exchange.bytes_down,
        "site_up": dict(exchange.up),
        "site_down": dict(exchange.down),
        "loss": _loss(stats),
    }
    if gathered.notes:
        row["aggregation"] = dict(gathered.notes)
    if report == "sites" and gathered.by_site:
        row["site_change"] = {site: dict(how) for site, how in gathered.changes.items()}
        row["site_loss"] = {site: _loss(own) for site, own in gathered.by_site.items()}
    return row


def _loss(stats: Stats) -> float | None:
    examples = float(stats.get("train/examples", 0.0))
    return float(stats["train/loss_sum"]) / examples if examples else None


def _score_stats(gathered: Gathered, report: str) -> dict[str, Stats]:
    return dict(gathered.by_site) if report == "sites" else {}


def _patients(total: Stats, per_site: Mapping[str, Stats]) -> dict[str, int]:
    name = "score/test/patients"
    many = {"overall": total, **per_site}
    return {site: int(stats[name]) for site, stats in many.items() if name in stats}


def _values(metrics: Metrics) -> dict[str, float]:
    return {name: interval.value for name, interval in metrics.items()}
