"""A study's privacy lines put to work once more, at a till where nobody pays.

Evidence is about what the lines do, so it is made under them. Nothing of it leaves the site, and no
answer is given to anybody: the site's ledger is not touched.
"""

from medfed.core.data import SetName
from medfed.core.mechanism import Cost, Mechanism, NoisyAnswer, merge
from medfed.core.registry import make
from medfed.core.rehearsal import site_plan
from medfed.core.study import Study
from medfed.core.task import LocalJob
from medfed.core.update import Update


class FreeTill:
    """`medfed.core.mechanism.Till` that writes down what would have been paid."""

    def __init__(self) -> None:
        self.round = 1
        self.paid: list[NoisyAnswer] = []

    def pay(self, cost: Cost, on: SetName = "train") -> None:
        """Write the answers down."""
        self.paid += cost.answers

    @property
    def answers(self) -> tuple[NoisyAnswer, ...]:
        """All that would have been paid for."""
        return merge(self.paid)


class Lines:
    """What a site does to its work and its updates under a study's privacy lines.

    Args:
        study: The study.
        site: The site.
    """

    def __init__(self, study: Study, site: str) -> None:
        self.plan = site_plan(study, site)
        self.mechanisms: tuple[Mechanism, ...] = tuple(
            make("mechanism", part) for part in study.privacy
        )
        self.till = FreeTill()

    @property
    def at_coordinator(self) -> tuple[str, ...]:
        """Units of those lines whose noise the coordinator adds, which no single site can."""
        return tuple(one.unit for one in self.mechanisms if one.trusts_coordinator)

    def wrap(self, job: LocalJob) -> LocalJob:
        """A workplace as the lines make it; with noise of its own."""
        for mechanism in self.mechanisms:
            job = mechanism.wrap(job, self.plan, self.till)
        return job

    def sealed(self, update: Update) -> Update:
        """What leaves the site of an update of round 1."""
        for mechanism in self.mechanisms:
            update = mechanism.on_site(update, self.plan, self.till, mechanism.asks({}))
        return update
