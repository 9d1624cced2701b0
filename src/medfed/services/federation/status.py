"""Who is doing what in a federation, told by the machine of its coordinator."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from medfed.federation.enrolment.folder import CoordinatorFolder
from medfed.federation.enrolment.roster import enrolled_sites
from medfed.services.federation.activity import Activity, activities
from medfed.services.federation.alone import is_served

if TYPE_CHECKING:
    from medfed.federation.flower.superlink import NodeSeen

SHOWN = 3
"""Ended runs that are shown."""
DOING = {"query": "adding up statistics", "train": "training", "evaluate": "scoring"}


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """One site.

    Attributes:
        name: Its name.
        state: ``online``, ``offline``, or ``unknown`` while the SuperLink is away.
        doing: In words, what it was asked; empty when nothing is.
        since: When it came online or went, ISO 8601; empty if it never came, or nobody knows.
    """

    name: str
    state: str
    doing: str
    since: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """A federation as it stands.

    Attributes:
        name: Its name.
        address: Where sites find it.
        running: Whether the coordinator's process runs.
        sites: The enrolled sites.
        runs: Runs that go on, then the latest that ended.
        warnings: What somebody should see to.
    """

    name: str
    address: str
    running: bool
    sites: tuple[SiteStatus, ...]
    runs: tuple[Activity, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"schema": 1, **asdict(self)}


def status_of(home: Path) -> Status:
    """Look at a coordinator's folder and ask its SuperLink.

    Raises:
        SiteError: It is not a coordinator's folder.
    """
    keeper = CoordinatorFolder(home)
    settings = keeper.settings()
    running = is_served(home, "coordinator")
    known = activities(home)
    open_, ended = [a for a in known if not a.done], [a for a in known if a.done]
    seen = _seen(home) if running else None
    working = [each for each in open_ if each.alive]
    sites = tuple(
        _site_status(site.name, seen, _doing(working, site.name)) for site in enrolled_sites(home)
    )
    return Status(
        name=settings.name,
        address=settings.address,
        running=running,
        sites=sites,
        runs=(*open_, *reversed(ended[-SHOWN:])),
        warnings=tuple(keeper.warnings()),
    )


def _seen(home: Path) -> "Mapping[str, NodeSeen] | None":
    from medfed.federation.flower.superlink import Registry
    from medfed.services.federation.coordinator_process import superlink_at

    try:
        with Registry(superlink_at(home)) as registry:
            return registry.nodes()
    except (httpx.HTTPError, OSError):
        return None


def _site_status(site: str, seen: "Mapping[str, NodeSeen] | None", doing: str) -> SiteStatus:
    if seen is None:
        return SiteStatus(site, "unknown", doing)
    node = seen.get(site)
    if node is None or not node.since:
        return SiteStatus(site, "offline", doing)
    if node.online:
        return SiteStatus(site, "online", doing, node.since)
    return SiteStatus(site, "offline", doing, node.left)


def _doing(working: list[Activity], site: str) -> str:
    for run in working:
        where = f'round {run.round} of "{run.title}"'
        if site in run.waiting:
            return f"{DOING.get(run.purpose, run.purpose)}, {where}, for {_span(run.since)}"
        if site in run.missing:
            return f"left out of {where}: {run.missing[site]}"
        if site in run.answered:
            return f"has answered {where}"
    return ""


def _words_of(site: SiteStatus) -> str:
    """What it does; of one that is away, since when."""
    if site.state != "offline":
        return site.doing
    away = f"for {_span(_seconds(site.since))}" if site.since else "has not been online yet"
    return f"{away}; {site.doing}" if site.doing else away


def _seconds(moment: str) -> float:
    """Seconds since 1970 of a moment in ISO 8601."""
    return datetime.fromisoformat(moment).timestamp()


def _span(since: float) -> str:
    seconds = max(0, int(time.time() - since))
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"


def in_words(status: Status) -> Iterator[str]:
    """The status line by line, for a terminal."""
    state = "running" if status.running else "not running"
    yield f"{status.name}  {status.address}  {state}"
    yield ""
    yield "Sites" if status.sites else "No site has joined yet."
    width = max((len(site.name) for site in status.sites), default=0)
    for site in status.sites:
        yield f"  {site.name:<{width}}  {site.state:<8} {_words_of(site)}".rstrip()
    yield ""
    yield "Runs" if status.runs else "No run yet."
    for run in status.runs:
        yield from _run_in_words(run)


def _run_in_words(run: Activity) -> Iterator[str]:
    yield f'  {run.run}  "{run.title}"  {_stage(run)}'
    if run.metrics:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in run.metrics.items())
        yield f"      latest score: {figures}"
    for notice in run.notices[-2:] if not run.done else ():
        yield f"      {notice}"
    yield f"      folder: {run.folder}"


def _stage(run: Activity) -> str:
    if run.done:
        return f"ended: {run.done}"
    if not run.alive:
        return f"its process has ended at round {run.round}; go on with --resume"
    if run.waiting:
        return f"round {run.round} of {run.rounds}, waiting for {', '.join(run.waiting)}"
    return f"round {run.round} of {run.rounds}"
