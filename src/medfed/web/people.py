"""Who sends a request: by the cookie of a session, or by a token."""

import ipaddress
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
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        found = identify_token(console.database, token.strip(), address())
    else:
        secret = session.get(SECRET)
        found = console.accounts.identify(secret, address()) if secret else None
    return found or replace(NOBODY, address=address())


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
