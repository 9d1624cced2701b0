"""The REST API: the same rights as the pages, one shape of errors, OpenAPI 3.1."""

import warnings

from apiflask import APIBlueprint, APIFlask

from medfed.services.console import Console
from medfed.web.api import (
    aliases,
    data,
    imports,
    inference,
    models,
    participation,
    parts,
    people,
    privacy,
    receipts,
    runs,
    settings,
    sites,
    studies,
    tables,
    uploads,
)

ALWAYS = (people, settings)
COORDINATOR = (studies, parts, runs, models, sites)
HOSPITAL = (data, tables, imports, uploads, participation, receipts, privacy, inference)


def register(app: APIFlask, console: Console) -> None:
    """Add the API of the console's faces, and its description at ``/api/v1/openapi.json``."""
    api = APIBlueprint("api", __name__, url_prefix="/api/v1")
    parts = [*(COORDINATOR if console.coordinates else ()), *ALWAYS]
    parts += HOSPITAL if console.hospital else ()
    for part in parts:
        api.register_blueprint(part.blueprint)
    app.register_blueprint(api)
    if console.coordinates:
        app.register_blueprint(aliases.blueprint)
    app.security_schemes = {"token": {"type": "http", "scheme": "bearer"}}
    app.view_functions["openapi.spec"].__dict__["needs"] = "help.read"


def describe(app: APIFlask) -> None:
    """Write the description now, once; every route must have been added."""
    with app.test_request_context(), warnings.catch_warnings():
        # It meets schemas inside pages of lists before it meets them by themselves.
        warnings.filterwarnings("ignore", "(?s).*has already been added to the spec", UserWarning)
        _ = app.spec
