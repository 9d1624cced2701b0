"""The pages."""

from flask import Flask

from medfed.web.pages import (
    access,
    audit,
    comparisons,
    guide,
    models,
    overview,
    people,
    profile,
    runs,
    studies,
)

ALL = (access, overview, studies, runs, comparisons, models, people, profile, audit, guide)


def register(app: Flask) -> None:
    """Add all pages."""
    for page in ALL:
        app.register_blueprint(page.blueprint)
