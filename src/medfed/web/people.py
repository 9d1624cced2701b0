"""Who sends a request: by the cookie of a session, or by a token."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta

from flask import request, session

from medfed.services.accounts import NOBODY, Identity
from medfed.services.accounts.lockout import place_of
from medfed.services.accounts.login import identify_many
from medfed.services.accounts.tokens import identify_token, identify_tokens
from medfed.services.console import Console
from medfed.services.refusals import refuse
from medfed.web.language import JUST_CHOSEN, keep_with

SECRET = "sid"  # noqa: S105  # the name of a field
ONLINE = timedelta(minutes=5)
"""Whose session was used within it is online."""
UNASKED = "X-Medfed-Unasked"
"""The header of what an open page asks for by itself: nobody was there, so no session is used."""


def identify(console: Console) -> Identity:
    """Who sends this request.

    A request with a token is the token's, whatever cookies come with it: the two are never mixed.
    """
    if (given := token()) is not None:
        found = identify_token(console.database, given, address())
    else:
        secret = session.get(SECRET)
        found = _of_session(console, secret) if secret else None
    return found or replace(NOBODY, address=address())


def _of_session(console: Console, secret: str) -> Identity | None:
    if request.method == "GET" and UNASKED in request.headers:
        found = identify_many(console.database, {secret}).get(secret)
        return replace(found, address=address()) if found else None
    return console.accounts.identify(secret, address())


@dataclass(frozen=True, slots=True)
class Credential:
    """By what a request was known, to be asked again later."""

    token: str | None = field(repr=False)
    session: str = field(repr=False)


def credential() -> Credential:
    """By what this request is known."""
    return Credential(token(), session.get(SECRET) or "")


def identify_again(
    console: Console, credentials: Collection[Credential]
) -> dict[Credential, Identity]:
    """Who they are by now, in two questions to the database however many they are."""
    tokens = {each.token for each in credentials if each.token is not None}
    sessions = {each.session for each in credentials if each.token is None}
    by_token = identify_tokens(console.database, tokens)
    by_session = identify_many(console.database, sessions)
    return {
        each: by_session.get(each.session, NOBODY)
        if each.token is None
        else by_token.get(each.token, NOBODY)
        for each in credentials
    }


def token() -> str | None:
    """The token that this request shows."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else None


def denied(console: Console, who: Identity, action: str, subject: str, why: str) -> None:
    """Record that a request was refused, be it somebody's or a stranger's."""
    network = "" if who.known else place_of(address())
    refuse(console.database, who, action, subject, reason=why, network=network)


def begin(console: Console, secret: str) -> None:
    """Give the browser the cookie of a new session; nothing of the old one stays.

    Who chose a language on the log-in page meant theirs.
    """
    chosen = session.get(JUST_CHOSEN, "")
    session.clear()
    session[SECRET] = secret
    if chosen and (who := identify(console)).known:
        keep_with(who, chosen)


def end() -> None:
    """Take the cookie back."""
    session.clear()


def address() -> str:
    """Where the request comes from; an IP address or nothing."""
    try:
        return str(ipaddress.ip_address(request.remote_addr or ""))
    except ValueError:
        return ""
