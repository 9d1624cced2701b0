"""What pages can follow, each with the right that it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from medfed.services.console import Console
from medfed.services.console.runs import Runs
from medfed.services.inference.desk import Desk
from medfed.web import glances, inference_shapes, shapes

AT_ONCE = 500
"""Events in one message; a page far behind catches up in several."""


class Feed(Protocol):
    """Something that pages follow."""

    right: str
    """The action that a follower may do."""

    def find(self, subject: str) -> Any:
        """What is followed.

        Raises:
            RunError: There is none of this name.
        """

    def summary(self, row: Any) -> Mapping[str, Any]:
        """How it stands, in the reader's language; told again only when it changes."""

    def events(self, row: Any, after: int) -> Sequence[Mapping[str, Any]]:
        """What happened after an event, each with its number."""


@dataclass(frozen=True)
class RunFeed:
    """Runs of studies."""

    runs: Runs
    right = "run.read"

    def find(self, subject: str) -> Any:
        """A run."""
        return self.runs.find(subject)

    def summary(self, row: Any) -> Mapping[str, Any]:
        """How it stands."""
        return shapes.run(row, self.runs)

    def events(self, row: Any, after: int) -> Sequence[Mapping[str, Any]]:
        """Its events."""
        found = self.runs.events(row.id, after=after, limit=AT_ONCE)
        return [shapes.event(each) for each in found]


@dataclass(frozen=True)
class InferenceFeed:
    """Inferences, as far as their jobs are."""

    desk: Desk
    right = "inference.view"

    def find(self, subject: str) -> Any:
        """An inference."""
        return self.desk.inferences.find(subject)

    def summary(self, row: Any) -> Mapping[str, Any]:
        """How it stands."""
        return inference_shapes.inference(row, self.desk)

    def events(self, row: Any, after: int) -> Sequence[Mapping[str, Any]]:
        """None: it has no events of its own."""
        return []


def feeds_of(console: Console) -> dict[str, Feed]:
    """What the pages of a console's faces can follow, by name."""
    found: dict[str, Feed] = {}
    if console.coordinates:
        found["run"] = RunFeed(console.runs)
    if console.desk:
        found["inference"] = InferenceFeed(console.desk)
    found["overview"] = glances.Glance("overview.read", lambda: glances.overview(console))
    found["people"] = glances.Glance("user.read", lambda: glances.people(console))
    return found
