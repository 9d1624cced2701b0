"""Who sends a request: by the cookie of a session, or by a token."""

import ipaddress
from collections.abc import Callable
from dataclasses import replace

from flask import request, session

from medfed.services.accounts import NOBODY, Identity
from medfed.services.accounts.tokens import identify_token
from medfed.services.console import Console

SECRET = "sid"  # noqa: S105  # the name of a field
LANGUAGE = "language"


def identify(console: Console) -> Identity:
    """Who sends this request.

    A request with a token is the token's, whatever cookies come with it: the two are never mixed.
    """
    if (token := _token()) is not None:
        found = identify_token(console.database, token, address())
    else:
        secret = session.get(SECRET)
        found = console.accounts.identify(secret, address()) if secret else None
    return found or replace(NOBODY, address=address())


def asked_again(console: Console) -> Callable[[], Identity]:
    """Who sent this request, to be asked later and as often as one likes.

    Asking keeps no session alive.
    """
    token, secret, place = _token(), session.get(SECRET) or "", address()

    def ask() -> Identity:
        if token is not None:
            return identify_token(console.database, token, place) or NOBODY
        return console.accounts.identify(secret, place, used=False) or NOBODY

    return ask


def _token() -> str | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def begin(secret: str) -> None:
    """Give the browser the cookie of a new session; nothing of the old one stays but language."""
    language = session.get(LANGUAGE)
    session.clear()
    session[SECRET] = secret
    if language:
        session[LANGUAGE] = language


def end() -> None:
    """Take the cookie back."""
    language = session.get(LANGUAGE)
    session.clear()
    if language:
        session[LANGUAGE] = language


def address() -> str:
    """Where the request comes from; an IP address or nothing."""
    try:
        return str(ipaddress.ip_address(request.remote_addr or ""))
    except ValueError:
        return ""
