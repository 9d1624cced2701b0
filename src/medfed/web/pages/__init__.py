"""The pages."""

from flask import Flask

from medfed.web.pages import (
    access,
    audit,
    guide,
    models,
    outside,
    overview,
    people,
    profile,
    runs,
    studies,
)

ALL = (access, outside, overview, studies, runs, models, people, profile, audit, guide)


def register(app: Flask) -> None:
    """Add all pages."""
    for page in ALL:
        app.register_blueprint(page.blueprint)
