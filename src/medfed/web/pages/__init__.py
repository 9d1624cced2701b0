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
    settings,
    sites,
    studies,
)

ALL = (
    access,
    overview,
    studies,
    runs,
    comparisons,
    models,
    sites,
    people,
    profile,
    audit,
    settings,
    guide,
)


def register(app: Flask) -> None:
    """Add all pages."""
    for page in ALL:
        app.register_blueprint(page.blueprint)
