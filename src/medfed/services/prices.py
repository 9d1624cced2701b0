"""What a whole run of a study costs at each hospital, as the noisy answers that ledgers enter."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from medfed.core.mechanism import NoisyAnswer, Unit, merge
from medfed.core.registry import make
from medfed.core.rehearsal import noised_facts, site_plan
from medfed.core.study import Study


@dataclass(frozen=True, slots=True)
class Price:
    """What a study costs a training patient, a record or the whole of one hospital.

    Attributes:
        site: The hospital.
        unit: Who pays.
        answers: The noisy answers, without rounds that are done anew.
    """

    site: str
    unit: Unit
    answers: tuple[NoisyAnswer, ...]

    def to_json(self) -> dict[str, Any]:
        """The price as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Price":
        """The price that `to_json` wrote."""
        answers = tuple(NoisyAnswer(**each) for each in plain["answers"])
        return cls(plain["site"], plain["unit"], answers)


def prices(study: Study) -> list[Price]:
    """What a study costs, hospital by hospital; nothing where nothing in it has a price."""
    queries = [make("query", part) for part in (*study.statistics, *noised_facts(study))]
    mechanisms = [make("mechanism", part) for part in study.privacy]
    found = []
    for site in study.sites:
        costs = [query.cost() for query in queries]
        costs += [each.cost(site_plan(study, site)) for each in mechanisms]
        by_unit: dict[Unit, list[NoisyAnswer]] = {}
        for cost in costs:
            by_unit.setdefault(cost.unit, []).extend(cost.answers)
        found += [Price(site, unit, merge(answers)) for unit, answers in by_unit.items()]
    return found
