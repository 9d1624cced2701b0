"""The frozen plan that all sites approve: TOML on disk, canonical JSON for the digest."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from medfed.core.files import canonical_json
from medfed.core.guideline import Guideline
from medfed.core.registry import Part, make, part_from_json
from medfed.core.task import Task

SCHEMA = 1
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a site may be called: it becomes a file's name."""
PLAIN = "up to 64 letters, digits, - and _, beginning with a letter or digit"
RESERVED = frozenset({"coordinator", "overall"})
"""Names that no site may have: they mean something else beside sites' names."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which sites take part in a round: a seeded draw of this fraction, all by default."""

    fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop when the metric on the validation patients has not improved for some rounds."""

    metric: str
    patience: int = 5
    min_delta: float = 0.0


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which patients of a site belong to the study.

    Attributes:
        where: Conditions on columns such as ``age >= 40``; all must hold.
        min_patients: A site with fewer training patients refuses.
    """

    where: tuple[str, ...] = ()
    min_patients: int = 1


@dataclass(frozen=True, slots=True)
class Study:
    """A study as every site signs it; read one with `medfed.core.study_file.read_study`.

    Attributes:
        title: A name for people.
        question: The clinical question, in words.
        sites: Names of the sites, in the order in which updates are summed.
        rounds: How many rounds of training.
        min_sites: Replies that a round needs to count.
        deadline: Seconds a site has for its reply.
        report: ``sites`` shows each site's figures; ``overall`` keeps them among the sums.
        keep: Which aggregate becomes the result: the last, or the best on validation patients.
        seed: Where all public randomness starts.
        statistics: Noised statistics of the cohort, asked for once.
        guideline: What the model's results are to be read with.
    """

    title: str
    question: str
    sites: tuple[str, ...]
    task: Part
    source: Part
    split: Part
    strategy: Part
    aggregator: Part
    compression: Part | None
    privacy: tuple[Part, ...]
    cohort: Criteria
    sampling: Sampling
    stop: Stop | None
    rounds: int
    min_sites: int
    deadline: float
    report: Literal["overall", "sites"]
    keep: Literal["last", "best"]
    seed: int
    statistics: tuple[Part, ...] = ()
    guideline: Guideline | None = None

    def to_json(self) -> dict[str, Any]:
        """The study as plain data; what the digest covers."""
        # Only where there are any: a study without keeps the digest that it was approved under.
        asked = [part.to_json() for part in self.statistics]
        read_with = self.guideline.to_json() if self.guideline else None
        return {
            **({"statistics": asked} if asked else {}),
            **({"guideline": read_with} if read_with else {}),
            "schema": SCHEMA,
            "title": self.title,
            "question": self.question,
            "sites": list(self.sites),
            "rounds": self.rounds,
            "min_sites": self.min_sites,
            "deadline": self.deadline,
            "report": self.report,
            "keep": self.keep,
            "seed": self.seed,
            "task": self.task.to_json(),
            "source": self.source.to_json(),
            "split": self.split.to_json(),
            "strategy": self.strategy.to_json(),
            "aggregator": self.aggregator.to_json(),
            "compression": self.compression.to_json() if self.compression else None,
            "privacy": [part.to_json() for part in self.privacy],
            "cohort": {"where": list(self.cohort.where), "min_patients": self.cohort.min_patients},
            "sampling": {"fraction": self.sampling.fraction},
            "stop": _stop_json(self.stop),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Study":
        """Rebuild a study from `to_json`'s output (trusted: its digest was approved)."""
        plain = dict(value)
        del plain["schema"]
        stop = plain.pop("stop")
        cohort = plain.pop("cohort")
        compression, guideline = plain.pop("compression"), plain.pop("guideline", None)
        parts: dict[str, Any] = {kind: part_from_json(plain.pop(kind)) for kind in REQUIRED_PARTS}
        return cls(
            sites=tuple(plain.pop("sites")),
            **parts,
            compression=part_from_json(compression) if compression else None,
            privacy=tuple(part_from_json(part) for part in plain.pop("privacy")),
            statistics=tuple(part_from_json(part) for part in plain.pop("statistics", ())),
            cohort=Criteria(tuple(cohort["where"]), cohort["min_patients"]),
            sampling=Sampling(**plain.pop("sampling")),
            stop=Stop(**stop) if stop else None,
            guideline=Guideline(**guideline) if guideline else None,
            **plain,
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal: what a site approves and signs."""
        return hashlib.sha256(canonical_json(self.to_json())).hexdigest()

    def evolve(self, **changes: Any) -> "Study":
        """A different study: some fields changed, and so another digest."""
        return replace(self, **changes)

    def make_task(self) -> Task:
        """The task, ready to use."""
        task: Task = make("task", self.task)
        return task

    @property
    def metric(self) -> str:
        """The metric that stops the run and chooses the best aggregate."""
        return self.stop.metric if self.stop else self.make_task().metric


REQUIRED_PARTS = ("task", "source", "split", "strategy", "aggregator")


def _stop_json(stop: Stop | None) -> dict[str, Any] | None:
    if stop is None:
        return None
    return {"metric": stop.metric, "patience": stop.patience, "min_delta": stop.min_delta}
