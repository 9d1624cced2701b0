"""Figures for Prometheus: what this process did, and what the database holds.

No label names a person, a patient, a run, a study or a hospital: whoever watches over the machine
sees how much there is of what, and nothing of whom.
"""

import platform
import time
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version

from flask import Flask, Response, current_app, g, request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from medfed.core.errors import MedfedError
from medfed.services.console import Console
from medfed.services.console.outbox import waiting
from medfed.storage.database.engine import Away
from medfed.storage.database.tables import AuditRow, EventRow, JobRow, ModelRow, RunRow, UserRow
from medfed.storage.database.types import now
from medfed.web.people import ONLINE

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
RUN_STATES = ("queued", "running", "stopped", "finished", "failed")
SITE_STATES = ("online", "offline", "unknown", "local")
JOB_STATES = ("open", "queued", "running", "finished", "failed")
LATELY = timedelta(hours=1)


class Meters:
    """What one process counts since it began."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.requests = Counter(
            "medfed_http_requests", "Requests answered", ["method", "status"], registry=own
        )
        self.seconds = Histogram(
            "medfed_http_request_seconds", "Until the answer began", ["kind"], registry=own
        )
        self.uploaded = Counter("medfed_upload_bytes", "Bytes received of files", registry=own)
        self.live = Gauge("medfed_live_pages", "Pages that follow something", registry=own)
        build = Info("medfed_build", "The program", registry=own)
        build.info({"version": version("medfed"), "python": platform.python_version()})
        ProcessCollector(registry=own)


def meters() -> Meters:
    """Those of this application."""
    found: Meters = current_app.extensions["medfed-meters"]
    return found


def register(app: Flask) -> None:
    """Count every request."""
    own = app.extensions["medfed-meters"] = Meters()

    @app.before_request
    def _begun() -> None:
        g.begun = time.perf_counter()

    @app.after_request
    def _answered(response: Response) -> Response:
        method = request.method if request.method in METHODS else "other"
        own.requests.labels(method, f"{response.status_code // 100}xx").inc()
        if begun := g.pop("begun", None):
            own.seconds.labels(_kind()).observe(time.perf_counter() - begun)
        return response


def _kind() -> str:
    """What was asked for, so that a slow upload does not hide among pages."""
    endpoint = request.endpoint or "none"
    if endpoint.startswith("api.uploads."):
        return "upload"
    kind = endpoint.partition(".")[0]
    return kind if kind in ("api", "static", "health", "none") else "page"


def text_of(console: Console) -> bytes:
    """Everything, as Prometheus reads it."""
    held = CollectorRegistry()
    away = console.database.as_of is not None
    try:
        found = list(_held(console))
    except Away:  # and there is no mirror: what this process counts is known all the same
        found, away = [], True
    found.append(_one("medfed_database_away", "Whether the database is away", away))
    for name, about, label, values in found:
        gauge = Gauge(name, about, [label] if label else [], registry=held)
        for value, count in values.items():
            (gauge.labels(value) if label else gauge).set(count)
    return bytes(generate_latest(meters().registry) + generate_latest(held))


Figures = tuple[str, str, str, dict[str, float]]


def _held(console: Console) -> Iterator[Figures]:
    """What the database and the disk hold: the same whichever process is asked."""
    database = console.database
    with database.read() as session:
        yield from _counted(session)
    sessions = console.accounts.sessions()
    yield _one("medfed_sessions", "Sessions that count", len(sessions))
    online = {row.user_id for row in sessions if now() - row.seen < ONLINE}
    yield _one("medfed_people_online", "People who used a session lately", len(online))
    if console.coordinates:
        yield "medfed_sites", "Hospitals by state", "state", _sites(console)
        events = waiting(console.place.path / "runs")
        yield _one("medfed_outbox_events", "Events that wait for the database", events)
    yield _one("medfed_free_bytes", "Free on the disk of the console", console.place.free)
    away = database.as_of is not None
    yield _one("medfed_degraded", "Whether a mirror is shown, the database being away", away)


def _one(name: str, about: str, value: float) -> Figures:
    return name, about, "", {"": float(value)}


def _counted(session: Session) -> Iterator[Figures]:
    states = session.execute(select(RunRow.state, func.count(RunRow.id)).group_by(RunRow.state))
    runs = dict.fromkeys(RUN_STATES, 0.0) | {row[0]: row[1] for row in states}
    yield "medfed_runs", "Runs by state", "state", runs
    states = session.execute(select(JobRow.state, func.count(JobRow.id)).group_by(JobRow.state))
    jobs = dict.fromkeys(JOB_STATES, 0.0) | {row[0]: row[1] for row in states}
    yield "medfed_jobs", "A hospital's jobs by state", "state", jobs
    for name, about, column in (
        ("medfed_events", "Events recorded", EventRow.number),
        ("medfed_models", "Models of finished runs", ModelRow.id),
        ("medfed_users", "Users", UserRow.id),
    ):
        yield _one(name, about, session.scalar(select(func.count(column))) or 0)
    since = (AuditRow.at > now() - LATELY, AuditRow.allowed.is_(False))
    acts = select(AuditRow.action, func.sum(AuditRow.times)).where(*since)
    refused = {row[0]: float(row[1]) for row in session.execute(acts.group_by(AuditRow.action))}
    yield "medfed_refused_last_hour", "Refusals in the record, at least", "action", refused


def _sites(console: Console) -> dict[str, float]:
    """How many hospitals are in which state; nothing where the federation is not in order."""
    try:
        states = [site.state for site in console.hospitals.list()]
    except MedfedError:
        return {}
    return {state: float(states.count(state)) for state in SITE_STATES}
