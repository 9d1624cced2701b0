"""What a strategy will ask of a site, found out by asking it: no data, no model, no training."""

from medfed.core.data import SetName
from medfed.core.mechanism import BoundedTask, PaidQuery, SitePlan
from medfed.core.registry import Part, make, part_of
from medfed.core.strategy import Strategy, Turn
from medfed.core.study import Study
from medfed.core.task import LocalPlan, Trained
from medfed.core.update import Stats, Tensors, Update


class _Rehearsal:
    """A workplace without patients that writes down what is asked of it."""

    patients = 1

    def __init__(self) -> None:
        self.asked: list[LocalPlan | None] = []

    def trainable(self) -> frozenset[str]:
        return frozenset()

    def train(self, start: Tensors, plan: LocalPlan) -> Trained:
        self.asked.append(plan)
        return Trained({}, 1, 0.0, 0.0)

    def gradient(self, at: Tensors, l2: float = 0.0) -> tuple[Tensors, float]:
        self.asked.append(None)
        return {}, 0.0

    def evaluate(self, model: Tensors, on: SetName) -> Stats:
        return {}

    def explain(self, model: Tensors) -> Stats:
        return {}


def site_plan(study: Study, site: str) -> SitePlan:
    """What a study asks of one site in all its rounds.

    A strategy asks for the same work each round, but for its learning rate; a site that is not
    drawn for a round is counted as if it were.
    """
    drawn = max(1, round(study.sampling.fraction * len(study.sites)))
    task = study.make_task()
    bounds = task.bounds() if isinstance(task, BoundedTask) else None
    return SitePlan(site, drawn, study.rounds, tuple(rehearse(study)[0]), bounds)


def noised_facts(study: Study) -> tuple[Part, ...]:
    """The facts of a study's task whose answers are noised, and paid for, at the sites."""
    queries = study.make_task().prepare()
    return tuple(part_of("query", query) for query in queries if isinstance(query, PaidQuery))


def rehearse(study: Study) -> tuple[list[LocalPlan | None], Update]:
    """What a strategy asks of a site in a round, and the update it would make of nothing."""
    strategy: Strategy = make("strategy", study.strategy)
    job = _Rehearsal()
    update, _ = strategy.train({}, {}, job, Turn(1, study.rounds, len(study.sites)))
    return job.asked, update
