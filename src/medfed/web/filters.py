"""How templates write moments, figures and icons."""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Flask, current_app, url_for
from flask_babel import format_datetime
from flask_babel import gettext as _
from flask_wtf.csrf import generate_csrf
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from medfed.services.accounts.outsiders import is_outsider
from medfed.services.preferences import preferences
from medfed.services.reports.words import first_capital
from medfed.storage.database.types import now
from medfed.web import (
    agents,
    audit_words,
    charts,
    choice_labels,
    data_words,
    inference_words,
    labels,
    rules,
    words,
)
from medfed.web.language import LANGUAGES, TAGS, choose
from medfed.web.said import sentence

NOTHING = "–"
DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


def icon(name: str) -> Markup:
    """A picture from the sprite; it says nothing that the words beside it do not."""
    source = url_for("static", filename="vendor/icons.svg")
    drawing = '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>'
    return Markup(drawing).format(source, name)  # noqa: S704  # a constant


def moment(value: datetime | None) -> Markup:
    """A moment: in UTC, until the page's script writes it in the browser's own zone."""
    if value is None:
        return Markup(NOTHING)  # noqa: S704  # a constant
    text = f"{format_datetime(value, 'medium')} UTC"
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), text)


def moment_of(text: str) -> Markup:
    """A moment that was kept as ISO 8601."""
    return moment(datetime.fromisoformat(text))


def figure(value: Mapping[str, Any] | None) -> Markup:
    """A value with its 95 % interval."""
    if not value or value.get("value") is None:
        return Markup(NOTHING)  # noqa: S704  # a constant
    shown = Markup("<b>{}</b>").format(number(value["value"]))
    if value.get("low") is None or value.get("high") is None:
        return shown
    bounds = f"{number(value['low'])}–{number(value['high'])}"
    return shown + Markup(' <span class="muted nowrap">{}</span>').format(bounds)


def number(value: float | None, places: int = 3) -> str:
    """A figure with fixed decimals; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:.{places}f}"


def figures(value: float | str) -> str:
    """A figure with four digits that count; words as they are."""
    return value if isinstance(value, str) else f"{value:.4g}"


def size(value: float) -> str:
    """Bytes in the unit that people read."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= step:
            return f"{value / step:.1f} {unit}"
    return f"{value:.0f} B"


def span(seconds: float) -> str:
    """Seconds in the unit that people read."""
    if seconds < 90:
        return f"{seconds:.1f} {_('s')}"
    if seconds < 5400:
        return f"{seconds / 60:.0f} {_('min')}"
    return f"{seconds / 3600:.1f} {_('h')}"


def markdown(text: str) -> Markup:
    """Markdown as HTML; HTML inside it stays text."""
    tokens = _markdown.parse(text)
    for token in tokens:
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrs["class"] = "number"  # the policy allows no styles in a page
    html = _markdown.renderer.render(tokens, _markdown.options, {})
    return Markup(html)  # noqa: S704  # html is off


def short(digest: str) -> Markup:
    """The beginning of a digest; the whole of it for who points at it."""
    return Markup('<code title="{0}">{1}…</code>').format(escape(digest), digest[:12])


def digests(text: str) -> Markup:
    """A sentence in which each digest is cut short; the whole of it for who points at it."""
    return Markup(DIGEST.sub(lambda found: str(short(found[0])), str(escape(text))))  # noqa: S704  # escaped


def register(app: Flask) -> None:
    """Let templates use them."""
    app.jinja_env.filters.update(
        sentence=sentence,
        browser=agents.browser,
        capital=first_capital,
        moment=moment,
        moment_of=moment_of,
        figure=figure,
        listed=words.listed,
        figures=figures,
        number=number,
        size=size,
        span=span,
        markdown=markdown,
        short=short,
        digests=digests,
    )
    app.jinja_env.globals.update(
        icon=icon,
        can=rules.can,
        has_page=rules.has_page,
        words=words,
        what_of=charts.what_of,
        part_title=choice_labels.part,
        field_label=labels.field,
        said=words.said,
        audit_words=audit_words,
        data_words=data_words,
        inference_words=inference_words,
        languages=LANGUAGES,
        csrf_token=generate_csrf,
        html_language=lambda: TAGS[choose()],
        me=rules.user,
        provider=lambda: current_app.extensions["medfed-provider"],
        is_outsider=lambda: is_outsider(rules.console().database, rules.user().id),
        neighbours=lambda: current_app.extensions.get("medfed-neighbours", ()),
        now=now,
        as_of=lambda: rules.console().database.as_of,
        notice=lambda: preferences(rules.console().database).notice,
    )
    app.jinja_env.policies["json.dumps_kwargs"] = {}  # in the order that things were given
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
