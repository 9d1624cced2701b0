"""What happens in a run, as plain data: for progress, logs, tables and live pages."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from medfed.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    def to_json(self) -> dict[str, Any]:
        """As plain data, with the kind of event first."""
        return {"event": type(self).__name__, **asdict(self)}


def read_event(value: Mapping[str, Any]) -> Event:
    """An event from what `Event.to_json` gave.

    Raises:
        DataError: There is no such kind of event, or it is of another version.
    """
    kinds = {kind.__name__: kind for kind in Event.__subclasses__()}
    try:
        fields = dict(value)
        return kinds[fields.pop("event")](**fields)
    except (LookupError, TypeError):
        raise DataError("an event that was kept on disk cannot be read") from None


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run began or went on."""

    run: str
    study: str
    title: str
    sites: tuple[str, ...]
    rounds: int
    resumed_at: int = 0


@dataclass(frozen=True, slots=True)
class RoundStarted(Event):
    """Orders went out; ``purpose`` is query, train or evaluate."""

    round: int
    purpose: str
    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReplyComing(Event):
    """A site has begun to send its reply, and not all of it is here; told of large ones only."""

    site: str


@dataclass(frozen=True, slots=True)
class ReplyCounted(Event):
    """A site's reply passed every check."""

    round: int
    site: str
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class SiteMissing(Event):
    """A site did not contribute: refused, failed, late, or sent what cannot be used."""

    round: int
    site: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class RoundFinished(Event):
    """An aggregate was made and checkpointed.

    Attributes:
        site_loss: Empty where the study keeps its sites' figures among the sums.
        site_up: Bytes that came from each site.
        site_down: Bytes that went to each.
        site_change: How each site's change lies to that of all, see `medfed.federation.likeness`;
            empty where nobody may know.
    """

    round: int
    participants: tuple[str, ...]
    seconds: float
    bytes_up: int
    bytes_down: int
    loss: float | None = None
    site_loss: dict[str, float | None] = field(default_factory=dict)
    site_up: dict[str, int] = field(default_factory=dict)
    site_down: dict[str, int] = field(default_factory=dict)
    site_change: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scored(Event):
    """An aggregate was scored; ``metrics`` are point values over all sites, ``sites`` of each.

    ``on`` names the patients, ``valid`` or ``test``; ``sites`` is empty where the study keeps its
    sites' figures among the sums.
    """

    round: int
    metrics: dict[str, float] = field(default_factory=dict)
    sites: dict[str, dict[str, float]] = field(default_factory=dict)
    on: str = ""


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """Something a person should know, in words."""

    message: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The run ended."""

    rounds: int
    reason: str


@dataclass(frozen=True, slots=True)
class ComparisonStarted(Event):
    """A comparison of so many runs began or went on."""

    recipes: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: int


@dataclass(frozen=True, slots=True)
class ComparisonAt(Event):
    """What a comparison does now: a run by name, or scoring its model."""

    now: str


@dataclass(frozen=True, slots=True)
class ComparedRun(Event):
    """A run of a comparison is finished."""

    name: str
