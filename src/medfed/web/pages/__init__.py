"""The pages."""

from flask import Flask

from medfed.services.console import Console
from medfed.web.pages import (
    access,
    audit,
    data,
    guide,
    imports,
    inference,
    models,
    overview,
    people,
    profile,
    released,
    runs,
    studies,
    tables,
)

ALWAYS = (access, overview, people, profile, audit, guide)
COORDINATOR = (studies, runs, models)
HOSPITAL = (data, tables, imports, inference, released)


def register(app: Flask, console: Console) -> None:
    """Add the pages of the console's faces."""
    pages = [*ALWAYS]
    if console.coordinates:
        pages += COORDINATOR
    if console.hospital:
        pages += HOSPITAL
    for page in pages:
        app.register_blueprint(page.blueprint)
