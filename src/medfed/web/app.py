"""The application factory."""

from importlib.metadata import version

from apiflask import APIFlask
from flask import Flask
from flask_babel import Babel
from werkzeug.middleware.proxy_fix import ProxyFix

from medfed.services.console import Console
from medfed.web import (
    api,
    arriving,
    errors,
    filters,
    health,
    live,
    metrics,
    outside,
    pages,
    rules,
    security,
)
from medfed.web.language import choose, time_zone
from medfed.web.options import WebOptions

LONGEST_REQUEST = 1_000_000
"""Bytes: a study with room; what is longer is refused before it is read."""


def create_app(console: Console, options: WebOptions | None = None) -> Flask:
    """The pages and the API of a console.

    Args:
        console: What they show and change.
        options: How they are reached.

    Returns:
        The WSGI application; its ``extensions["medfed-live"]`` speaks Socket.IO.
    """
    options = options or WebOptions()
    app: APIFlask = APIFlask(
        "medfed.web",
        title="medfed",
        version=version("medfed"),
        spec_path="/api/v1/openapi.json",
        docs_path=None,
        json_errors=False,
    )
    _configure(app, console, options)
    app.extensions["medfed"] = console
    Babel(app, locale_selector=choose, timezone_selector=time_zone)
    metrics.register(app)
    rules.csrf.init_app(app)
    app.before_request(rules.guard)
    security.add_headers(app, https=options.https)
    errors.handle_errors(app)
    filters.register(app)
    arriving.register(app, console)
    outside.register(app, console)
    pages.register(app, console)
    api.register(app, console)
    health.register(app)
    app.view_functions["static"].__dict__["needs"] = rules.PUBLIC
    api.describe(app)
    if options.live:
        live.register(app, console)
    if options.url:  # outermost, so that live pages know as well where somebody comes from
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)
    made: Flask = app
    return made


def _configure(app: APIFlask, console: Console, options: WebOptions) -> None:
    app.config.update(
        SECRET_KEY=console.place.key,
        MAX_CONTENT_LENGTH=LONGEST_REQUEST,
        MAX_FORM_MEMORY_SIZE=LONGEST_REQUEST,
        # The prefix makes browsers refuse it without TLS, from another host or for a path. Cookies
        # know no ports: without TLS several consoles of one machine would log each other out.
        SESSION_COOKIE_NAME="__Host-medfed" if options.https else f"medfed-{console.place.mark}",
        SESSION_COOKIE_SECURE=options.https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_CHECK_DEFAULT=False,  # the guard asks, since programs with tokens need none
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        BABEL_DEFAULT_LOCALE="en",
        SEND_FILE_MAX_AGE_DEFAULT=3600,
        OPENAPI_VERSION="3.1.0",
        AUTO_SERVERS=False,
        AUTO_404_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_AUTH_ERROR_RESPONSE=False,
    )
    app.json.sort_keys = False
    if options.url:
        app.config["TRUSTED_HOSTS"] = [options.host]
