"""What all pages share: one style, one head and foot, and nothing fetched from the network."""

import re
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from medfed.services.reports import palette
from medfed.services.reports.speech import ENGLISH, Speech

_HERE = "medfed.services.reports"


def render_page(template: str, package: str = _HERE, say: Speech = ENGLISH, **values: Any) -> str:
    """A self-contained page as text.

    Args:
        template: The template's name; it extends ``page.html``.
        package: The package whose folder ``templates`` holds it.
        say: What its sentences are said through.
        values: What the template shows.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(_HERE)]),
        autoescape=True,  # titles, names and messages were written by other people
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["marked"] = marked
    environment.globals["light"] = Markup(palette.variables(dark=False))  # noqa: S704  # constants of ours
    environment.globals["dark"] = Markup(palette.variables(dark=True))  # noqa: S704  # as above
    return environment.get_template(template).render(values, say=say)


def marked(text: str) -> Markup:
    """A sentence from the code, where words between backticks are code."""
    safe = str(escape(text))
    return Markup(re.sub(r"(`{1,2})([^`]+)\1", r"<code>\2</code>", safe))  # noqa: S704  # escaped just now
