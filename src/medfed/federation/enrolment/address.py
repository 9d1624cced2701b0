"""A coordinator's public address: ``https://host`` or ``https://host:port``, nothing behind it."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from medfed.core.errors import SiteError

HTTPS = 443
_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_FORM = "Write it as https://HOST or https://HOST:PORT, such as https://fed.example.org:8443"


@dataclass(frozen=True, slots=True)
class Address:
    """Where sites find the coordinator."""

    host: str
    port: int = HTTPS

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read an address.

        Raises:
            SiteError: It is not one; Flower's clients take a host and a port, and no path.
        """
        try:
            parts = urlsplit(text.strip())
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise SiteError(f"{text!r} is not an address", remedy=_FORM) from None
        extra = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
        if parts.scheme != "https" or extra or port == 0 or not _is_host(host):
            raise SiteError(f"{text!r} is not the address of a coordinator", remedy=_FORM)
        return cls(host, HTTPS if port is None else port)

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as a number, if it is one."""
        return _ip(self.host)

    @property
    def netloc(self) -> str:
        """``host:port``, as Flower's clients want it."""
        return f"{_bracketed(self.host)}:{self.port}"

    def __str__(self) -> str:
        return f"https://{_bracketed(self.host) if self.port == HTTPS else self.netloc}"


def split_bind(text: str) -> tuple[str, int]:
    """The host and port of ``host:port``, where a server listens.

    Raises:
        ValueError: It is not of that form.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not _is_host(host) or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(text)
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether nobody outside this machine can reach it."""
    number = _ip(host)
    return number.is_loopback if number else host == "localhost"


def _is_host(host: str) -> bool:
    return bool(_ip(host)) or (len(host) <= 253 and bool(_NAME.fullmatch(host)))


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
