"""What pages can follow, each with the right that it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from medfed.services.console import Console
from medfed.services.console.runs import Runs
from medfed.services.inference.desk import Desk
from medfed.web import inference_shapes, shapes

AT_ONCE = 500
"""Events in one message; a page far behind catches up in several."""


@dataclass(frozen=True)
class News:
    """What a page is told.

    Attributes:
        summary: How things stand; told again only when it changes.
        events: What happened since.
        last: Number of the latest event; None where nothing happened.
    """

    summary: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]] = field(default_factory=list)
    last: int | None = None


class Feed(Protocol):
    """Something that pages follow."""

    right: str
    """The action that a follower may do."""

    def find(self, subject: str) -> Any:
        """What is followed.

        Raises:
            RunError: There is none of this name.
        """

    def news(self, row: Any, after: int) -> News:
        """How it stands, and what happened after an event."""


@dataclass(frozen=True)
class RunFeed:
    """Runs of studies."""

    runs: Runs
    right = "run.read"

    def find(self, subject: str) -> Any:
        """A run."""
        return self.runs.find(subject)

    def news(self, row: Any, after: int) -> News:
        """How it stands, and its events."""
        events = self.runs.events(row.id, after=after, limit=AT_ONCE)
        last = events[-1].number if events else None
        return News(shapes.run(row, self.runs), [shapes.event(each) for each in events], last)


@dataclass(frozen=True)
class InferenceFeed:
    """Inferences, as far as their jobs are."""

    desk: Desk
    right = "inference.view"

    def find(self, subject: str) -> Any:
        """An inference."""
        return self.desk.inferences.find(subject)

    def news(self, row: Any, after: int) -> News:
        """How it stands; it has no events of its own."""
        return News(inference_shapes.inference(row, self.desk))


def feeds_of(console: Console) -> dict[str, Feed]:
    """What the pages of a console's faces can follow, by name."""
    found: dict[str, Feed] = {}
    if console.coordinates:
        found["run"] = RunFeed(console.runs)
    if console.desk:
        found["inference"] = InferenceFeed(console.desk)
    return found
