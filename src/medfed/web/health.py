"""For those who watch over the service: is it there, is it ready, what does it do."""

from apiflask import APIBlueprint, APIFlask
from flask import Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST

from medfed.web.metrics import text_of
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
    """Figures for Prometheus, see `medfed.web.metrics`."""
    return Response(text_of(console()), content_type=CONTENT_TYPE_LATEST)


def register(app: APIFlask) -> None:
    """Add the routes."""
    app.register_blueprint(blueprint)
