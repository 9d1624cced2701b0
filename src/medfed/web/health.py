"""For those who watch over the service: is it there, is it ready, what does it do."""

from apiflask import APIBlueprint, APIFlask
from flask import Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import func, select

from medfed.storage.database.tables import EventRow, RunRow
from medfed.web.rules import PUBLIC, console, needs

blueprint = APIBlueprint("health", __name__, enable_openapi=False)


@blueprint.get("/healthz")
@needs(PUBLIC)
def healthz() -> ResponseReturnValue:
    """Whether this process answers; asks nobody else."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@needs(PUBLIC)
def readyz() -> ResponseReturnValue:
    """Whether the database answers too, or a mirror is shown in its place."""
    database = console().database
    if database.as_of is not None:
        return jsonify(status="the database is away", as_of=database.as_of.isoformat())
    if database.alive():
        return jsonify(status="ok")
    return jsonify(status="the database does not answer"), 503


@blueprint.get("/metrics")
@needs("metrics.read")
def metrics() -> ResponseReturnValue:
    """Figures for Prometheus, from the database: the same whichever process is asked."""
    registry = CollectorRegistry()
    runs = Gauge("medfed_runs", "Runs by state", ["state"], registry=registry)
    events = Gauge("medfed_events", "Events recorded", registry=registry)
    sessions = Gauge("medfed_sessions", "Sessions that count", registry=registry)
    with console().database.read() as session:
        counts = select(RunRow.state, func.count(RunRow.id)).group_by(RunRow.state)
        found = {row[0]: row[1] for row in session.execute(counts)}
        events.set(session.scalar(select(func.count(EventRow.number))) or 0)
    for state in ("queued", "running", "stopped", "finished", "failed"):
        runs.labels(state).set(found.get(state, 0))
    sessions.set(len(console().accounts.sessions()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def register(app: APIFlask) -> None:
    """Add the routes."""
    app.register_blueprint(blueprint)
