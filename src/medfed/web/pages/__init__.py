"""The pages."""

from flask import Flask

from medfed.services.console import Console
from medfed.web.pages import (
    access,
    audit,
    comparisons,
    data,
    guide,
    imports,
    inference,
    models,
    outside,
    overview,
    participation,
    people,
    privacy,
    profile,
    receipts,
    released,
    roles,
    runs,
    settings,
    sites,
    studies,
    tables,
    taking_over,
)

ALWAYS = (access, outside, overview, roles, people, profile, audit, settings, guide)
COORDINATOR = (studies, runs, comparisons, models, sites)
HOSPITAL = (data, tables, imports, participation, receipts, privacy, inference, released)


def register(app: Flask, console: Console) -> None:
    """Add the pages of the console's faces."""
    pages = [*ALWAYS]
    if console.coordinates:
        pages += COORDINATOR
    if console.hospital:
        pages += HOSPITAL
    if console.coordinates and console.hospital:
        pages.append(taking_over)
    for page in pages:
        app.register_blueprint(page.blueprint)
