"""Checks on the way to the coordinator: name, port, proxy, TLS, answer, clock, versions."""

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography import x509

from medfed import __version__
from medfed.core.errors import SiteError
from medfed.federation.enrolment.address import Address
from medfed.federation.enrolment.certificates import (
    CA,
    days_left,
    expiry_warning,
    load_certificate,
    trusting,
)
from medfed.federation.enrolment.join import BASE, CLOCK, span
from medfed.federation.enrolment.web import Answer, Unreachable, Web, explain, plain, proxy_for
from medfed.federation.keys import fingerprint, load_public
from medfed.federation.settings.site import SiteFile
from medfed.federation.site_folder import TRUST
from medfed.federation.wire import VERSION
from medfed.services.doctor.finding import Finding, failure, ok, skipped, warning

ALL = ("dns", "port", "tls", "certificate", "answer", "identity", "clock", "versions")


def examine(settings: SiteFile, timeout: float) -> Iterator[Finding]:
    """All checks on the way; after a failure the rest is skipped by name."""
    if not settings.coordinator:
        remedy = "Ask the coordinator for an invitation, then: medfed site join CODE"
        yield failure("coordinator", "this site has not joined a federation", remedy)
        return
    done = set()
    for finding in _steps(settings, Address.parse(settings.coordinator), timeout):
        done.add(finding.check)
        yield finding
    for check in ALL:
        if check not in done:
            yield skipped(check, "not tried, because of the failure above")


def _steps(settings: SiteFile, address: Address, timeout: float) -> Iterator[Finding]:
    proxy = proxy_for(address, settings.proxy)
    if proxy:
        yield skipped("dns", f"left to the proxy {plain(proxy)}")
    else:
        for finding in _direct(address, timeout):
            yield finding
            if finding.level == "failure":
                return
    try:
        authority = load_certificate(settings.folder / CA)
    except SiteError as error:
        yield failure("tls", error.message, "Restore it from a backup, or join again")
        return
    tls, certificate = _tls(address, authority, proxy, timeout)
    if proxy and tls.check == "tls":
        yield ok("port", f"{address.netloc} is open through the proxy {plain(proxy)}")
    yield tls
    if certificate is None:
        return
    yield _expiry(certificate, authority)
    web = Web(address, trusting(authority), settings.proxy, timeout)
    yield from _conversation(settings, web)


def _direct(address: Address, timeout: float) -> Iterator[Finding]:
    """Name and port, without a proxy."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        yield ok("dns", f"{address.host} is {found[0][4][0]}")
        with socket.create_connection((address.host, address.port), timeout):
            yield ok("port", f"{address.netloc} is open; no proxy")
    except OSError as error:
        why = explain(error, address)
        yield failure("dns" if why.cause == "dns" else "port", why.message, why.remedy)


def _tls(
    address: Address, authority: x509.Certificate, proxy: str | None, timeout: float
) -> tuple[Finding, x509.Certificate | None]:
    """Shake hands as the site's programs do: this authority, this host, today."""
    connection = _connection(address, trusting(authority), proxy, timeout)
    try:
        connection.connect()
        shown = connection.sock.getpeercert(binary_form=True) or b""
    except (OSError, http.client.HTTPException) as error:
        return _no_tls(explain(error, address, proxy), proxy), None
    finally:
        connection.close()
    name = f"TLS 1.3 with {address.netloc}, signed by the authority this site pinned"
    return ok("tls", name), x509.load_der_x509_certificate(shown)


def _no_tls(why: Unreachable, proxy: str | None) -> Finding:
    """Without a proxy the port is known to be open; with one, it has not been tried before."""
    if proxy and why.cause == "proxy":
        return failure("port", why.message, why.remedy)
    if why.cause == "timeout":
        remedy = "The port is open and TLS is held up: ask for an exception in the firewall"
        return failure("tls", why.message, remedy)
    return failure("tls", why.message, why.remedy)


def _connection(
    address: Address, context: ssl.SSLContext, proxy: str | None, timeout: float
) -> http.client.HTTPSConnection:
    if not proxy:
        return http.client.HTTPSConnection(
            address.host, address.port, timeout=timeout, context=context
        )
    parts = urlsplit(proxy)
    port = parts.port or 80
    made = http.client.HTTPSConnection(parts.hostname or "", port, timeout=timeout, context=context)
    made.set_tunnel(address.host, address.port, _authorization(parts.username, parts.password))
    return made


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}"
    coded = base64.b64encode(pair.encode()).decode()
    return {"Proxy-Authorization": f"Basic {coded}"}


def _expiry(certificate: x509.Certificate, authority: x509.Certificate) -> Finding:
    for one, what in (
        (certificate, "the coordinator's certificate"),
        (authority, "the authority this site pinned"),
    ):
        late = expiry_warning(one, what)
        if late:
            remedy = "Tell the coordinator: medfed coordinator renew FOLDER"
            if one is authority:
                remedy = "Ask the coordinator for a new invitation before that day"
            return warning("certificate", late, remedy)
    left = f"{days_left(certificate):.0f} days, the authority {days_left(authority):.0f}"
    return ok("certificate", f"valid for {left}")


def _conversation(settings: SiteFile, web: Web) -> Iterator[Finding]:
    try:
        answer = web.get(f"{BASE}/hello")
        about = _about(answer)
    except Unreachable as error:
        yield failure("answer", error.message, error.remedy)
        return
    if about is None:
        message = f"HTTP status {answer.status}, and not a coordinator's answer"
        remedy = "Ask the coordinator whether all of it is running: medfed coordinator status"
        yield failure("answer", message, remedy)
        return
    yield ok("answer", f"{about['name']} answers")
    yield _identity(settings, about)
    yield _clock(answer.clock)
    yield _versions(about)


def _about(answer: Answer) -> dict[str, Any] | None:
    try:
        given = json.loads(answer.body)
        if answer.status == 200 and {"name", "software", "wire", "fingerprint"} <= set(given):
            int(given["wire"])
            return dict(given)
    except (ValueError, TypeError, RecursionError):
        pass
    return None


def _identity(settings: SiteFile, about: dict[str, Any]) -> Finding:
    """Whether the key it names is the key whose orders this site obeys."""
    try:
        pinned = fingerprint(load_public(settings.folder / TRUST))
    except SiteError as error:
        return failure("identity", error.message, "Join again with a new code")
    if pinned != about["fingerprint"]:
        remedy = "Telephone the coordinator before anything else; its orders will be refused"
        return failure("identity", "the coordinator now has another key than it had", remedy)
    return ok("identity", f"the coordinator's key is the one pinned: {pinned}")


def _clock(ahead: float | None) -> Finding:
    if ahead is None:
        return warning("clock", "the coordinator did not say its time", "Compare by hand")
    if abs(ahead) <= CLOCK:
        return ok("clock", "agrees with the coordinator's to within a minute")
    side = "ahead of" if ahead > 0 else "behind"
    message = f"{span(abs(ahead))} {side} the coordinator's"
    return warning("clock", message, "Switch on time synchronisation (NTP) on this machine")


def _versions(about: dict[str, Any]) -> Finding:
    there, wire = str(about["software"]), int(about["wire"])
    message = f"medfed {__version__} here, {there} at the coordinator"
    if abs(wire - VERSION) > 1:
        older = "here" if wire > VERSION else "at the coordinator"
        remedy = f"Update medfed {older}: neighbouring versions of the wire understand each other"
        return failure("versions", f"{message}; wire {VERSION} and {wire}", remedy)
    if wire != VERSION or there != __version__:
        return warning("versions", message, "They understand each other; update when convenient")
    return ok("versions", message)
