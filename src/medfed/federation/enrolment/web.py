"""Small HTTPS requests to a coordinator, through the hospital's proxy; each failure has a cause."""

import email.utils
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from medfed import __version__
from medfed.core.errors import SiteError
from medfed.federation.enrolment.address import Address

MOST = 256 * 1024
"""The longest answer that is read."""
EXPIRED, NOT_YET, OTHER_HOST, OTHER_IP = 10, 9, 62, 64
"""OpenSSL's numbers for what is wrong with a certificate."""


class Unreachable(SiteError):
    """No answer came; `cause` says at which step.

    Attributes:
        cause: ``dns``, ``refused``, ``timeout``, ``proxy``, ``network``, ``tls`` or ``answer``.
    """

    def __init__(self, cause: str, message: str, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    clock: float | None
    """How many seconds this machine's clock is ahead of the server's; None if it did not say."""


@dataclass(frozen=True, slots=True)
class Web:
    """The way to a coordinator.

    Attributes:
        address: Where it is.
        context: Which certificates are believed.
        proxy: The way out, ``http://host:port``; the environment's when None.
        timeout: Seconds without a sign of life.
    """

    address: Address
    context: ssl.SSLContext
    proxy: str | None = None
    timeout: float = 15.0

    def get(self, path: str) -> Answer:
        """Fetch.

        Raises:
            Unreachable: With the cause.
        """
        return self._ask(path, None)

    def post(self, path: str, body: bytes) -> Answer:
        """Post JSON.

        Raises:
            Unreachable: With the cause.
        """
        return self._ask(path, body)

    def _ask(self, path: str, body: bytes | None) -> Answer:
        headers = {"User-Agent": f"medfed/{__version__}", "Content-Type": "application/json"}
        url = f"{self.address}{path}"
        request = urllib.request.Request(url, body, headers)  # noqa: S310  # always https
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"https": self.proxy} if self.proxy else None),
            urllib.request.HTTPSHandler(context=self.context),
            _NoRedirect,
        )
        try:
            with opener.open(request, timeout=self.timeout) as answer:
                return _read(answer)
        except urllib.error.HTTPError as error:
            with error:
                return _read(error)
        except urllib.error.URLError as error:
            reason = error.reason if isinstance(error.reason, Exception) else error
            raise explain(reason, self.address, self.proxy) from None
        except (OSError, http.client.HTTPException) as error:
            raise explain(error, self.address, self.proxy) from None


def proxy_for(address: Address, proxy: str | None = None) -> str | None:
    """The proxy that a request takes: the one given, or the environment's; none for NO_PROXY."""
    if urllib.request.proxy_bypass(address.netloc):
        return None
    found = proxy or urllib.request.getproxies().get("https")
    return f"http://{found}" if found and "://" not in found else found


def unverified() -> ssl.SSLContext:
    """TLS that believes anybody: only for fetching what is checked by other means."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def explain(error: Exception, address: Address, proxy: str | None = None) -> Unreachable:
    """Why nobody answered, in a sentence with a remedy."""
    through = proxy_for(address, proxy)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _not_believed(error, address)
    if isinstance(error, ssl.SSLError):
        message = f"{address.netloc} does not speak TLS 1.3 ({error.reason or 'no answer'})"
        remedy = "Check the port; a proxy or firewall between may allow older TLS only"
        return Unreachable("tls", message, remedy)
    if "Tunnel connection failed" in str(error):
        status = str(error).partition("failed: ")[2]
        message = f"the proxy {plain(through)} does not let us through to {address.netloc}"
        remedy = "Ask those who run the proxy to allow CONNECT to this address"
        return Unreachable("proxy", f"{message} ({status})", remedy)
    if through:
        message = f"no connection through the proxy {plain(through)} ({_short(error)})"
        remedy = "Check proxy in site.toml or HTTPS_PROXY; NO_PROXY names what needs none"
        return Unreachable("proxy", message, remedy)
    return _no_connection(error, address)


def _no_connection(error: Exception, address: Address) -> Unreachable:
    if isinstance(error, socket.gaierror):
        message = f"the name {address.host} cannot be found"
        remedy = "Check the name and this machine's DNS; some hospitals need HTTPS_PROXY instead"
        return Unreachable("dns", message, remedy)
    if isinstance(error, TimeoutError):
        message = f"no answer from {address.netloc}"
        remedy = f"Ask for outbound TCP to {address.netloc} in the firewall, or set HTTPS_PROXY"
        return Unreachable("timeout", message, remedy)
    if isinstance(error, ConnectionRefusedError):
        message = f"nobody listens at {address.netloc}"
        remedy = "Check the port, and ask whether the coordinator is running"
        return Unreachable("refused", message, remedy)
    if isinstance(error, (http.client.HTTPException, ConnectionError)):
        message = f"{address.netloc} ended the connection without an answer"
        remedy = "Check that the address is the coordinator's; try again in a few minutes"
        return Unreachable("answer", message, remedy)
    message = f"{address.netloc} cannot be reached ({_short(error)})"
    return Unreachable("network", message, "Check this machine's network and routes")


def _not_believed(error: ssl.SSLCertVerificationError, address: Address) -> Unreachable:
    code, name = error.verify_code, address.netloc
    if code == EXPIRED:
        message = f"the certificate of {name} has expired"
        remedy = "Check this machine's clock; if it is right, the coordinator must renew"
    elif code == NOT_YET:
        message = f"the certificate of {name} is not valid yet"
        remedy = "Set this machine's clock: it seems to be behind"
    elif code in (OTHER_HOST, OTHER_IP):
        message = f"the certificate shown at {name} is for another address"
        remedy = "Use the address that the coordinator gave; else its certificate must be renewed"
    else:
        message = f"{name} shows a certificate of somebody else ({error.verify_message})"
        remedy = "A proxy may be opening TLS: ask for an exception for this address"
    return Unreachable("tls", message, remedy)


def _read(answer: Any) -> Answer:
    body = answer.read(MOST + 1)
    if len(body) > MOST:
        raise http.client.HTTPException("too long")
    return Answer(answer.status, body, _clock(answer.headers))


def _clock(headers: Message) -> float | None:
    try:
        theirs = email.utils.parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return None
    return (datetime.now(UTC) - theirs.replace(tzinfo=theirs.tzinfo or UTC)).total_seconds()


def plain(proxy: str | None) -> str:
    """A proxy's address without a password in it."""
    try:
        parts = urlsplit(proxy or "")
        return f"{parts.hostname}:{parts.port}"
    except ValueError:
        return "in the settings"


def _short(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A coordinator sends nobody elsewhere; whoever does is somebody else."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""
