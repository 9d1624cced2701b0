"""Who may call a route. A route without a rule is open to nobody."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask, current_app, g, request
from flask_wtf.csrf import CSRFError, CSRFProtect

from medfed.services.accounts import NOBODY, Decision, Identity, Subject, may, require
from medfed.services.accounts.rights import Denied
from medfed.services.console import Console
from medfed.services.hospital import Hospital
from medfed.services.inference.desk import Desk
from medfed.services.trouble import Missing
from medfed.web.people import denied, identify, token

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC = "public"
"""For whoever comes: the log-in page, styles, health."""
KNOWN = "known"
"""For whoever is logged in, even if the password must be changed first."""
ANY_LENGTH = 2**62
"""Bytes; None would mean the limit of all other requests."""
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
csrf = CSRFProtect()


def needs(action: str) -> Callable[[View], View]:
    """Say what a route needs: an action of `medfed.services.accounts.roles.ACTIONS`, or a word.

    It goes below ``@route``.
    """

    def mark(view: View) -> View:
        view.__dict__["needs"] = action
        return view

    return mark


def streams(view: View) -> View:
    """Let a route take a body of any length, which it reads bit by bit; below ``@needs``.

    No form: whoever looks for a token in it would read all of it, even for a stranger.
    """
    view.__dict__["streams"] = True
    return view


def takes(size: int) -> Callable[[View], View]:
    """Let those who may call a route send it more than others take.

    Args:
        size: Bytes.
    """

    def mark(view: View) -> View:
        view.__dict__["longest"] = size
        return view

    return mark


def console() -> Console:
    """The console of this application."""
    return cast(Console, current_app.extensions["medfed"])


def hospital() -> Hospital:
    """The hospital whose face this application shows.

    Raises:
        Missing: It shows none; its pages are not there then.
    """
    found = console().hospital
    if found is None:
        raise Missing("this is no hospital's console", remedy="Open the hospital's own")
    return found


def desk() -> Desk:
    """Models at work in the hospital whose face this application shows.

    Raises:
        Missing: It shows none; its pages are not there then.
    """
    found = console().desk
    if found is None:
        raise Missing("this is no hospital's console", remedy="Open the hospital's own")
    return found


def has_page(endpoint: str) -> bool:
    """Whether this application has a page; its faces differ."""
    return endpoint in current_app.view_functions


def user() -> Identity:
    """Who asks."""
    return cast(Identity, g.get("user", NOBODY))


def can(action: str, owner: str | None = None) -> bool:
    """Whether whoever asks may; for templates, which show no button that would be refused."""
    return bool(may(user(), action, Subject(owner=owner)))


def rule_of(app: Flask, endpoint: str) -> str | None:
    """What a route needs."""
    return cast("str | None", getattr(app.view_functions[endpoint], "needs", None))


def guard() -> None:
    """Before every request: who asks, may they, and is it they who ask.

    Raises:
        Denied: They may not.
    """
    g.user = identify(console())
    if request.endpoint is None:
        return  # no such page, which the router says by itself
    view = current_app.view_functions[request.endpoint]
    if getattr(view, "streams", False) and request.mimetype not in FORMS:
        request.max_content_length = ANY_LENGTH
    rule = rule_of(current_app, request.endpoint)
    if rule is None:
        raise Denied(Decision(False, "role", "nobody has said who may see this page"))
    longest = getattr(view, "longest", None)
    if longest and may(g.user, rule):
        request.max_content_length = longest
    if request.method not in ("GET", "HEAD", "OPTIONS") and g.user.scopes is None:
        _own_page()
    if rule == PUBLIC:
        return
    if not g.user.known and token() is not None:
        refused("request.send", "the token is unknown, revoked or too old")
    if rule == KNOWN:
        if not g.user.known:
            raise Denied(Decision(False, "anonymous", "nobody is logged in"))
        return
    require(console().database, g.user, rule, Subject(request.path))


def refused(action: str, why: str) -> None:
    """Record that this request was refused before it came to `may`."""
    denied(console(), user(), action, request.path, why)


def _own_page() -> None:
    """Refuse, and record, what a page of another makes a browser send.

    Raises:
        CSRFError: The token of our own page is not in it.
    """
    try:
        csrf.protect()
    except CSRFError:
        refused("request.send", "it came from no page of this console, or from one too old")
        raise
