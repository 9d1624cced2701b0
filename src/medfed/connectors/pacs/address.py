"""Where a PACS is, and how to speak to it."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from medfed.connectors.pacs.problems import PacsError

if TYPE_CHECKING:
    from pathlib import Path

TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")
"""PS3.5, 6.2: up to sixteen printable characters, no backslash, no space at the ends."""

DIMSE = re.compile(r"(?P<title>[^@]+)@(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d+)")
FORMS = "Write it as https://HOST/PATH for DICOMweb, or TITLE@HOST:PORT for DIMSE"


@dataclass(frozen=True)
class WebAddress:
    """A DICOMweb service."""

    url: str

    @property
    def host(self) -> str:
        """The machine."""
        return urlsplit(self.url).hostname or ""

    @property
    def encrypted(self) -> bool:
        """Whether it is reached by TLS."""
        return self.url.startswith("https://")


@dataclass(frozen=True)
class DimseAddress:
    """An application entity: its title, and where it listens."""

    title: str
    host: str
    port: int


Address = WebAddress | DimseAddress


@dataclass(frozen=True)
class PacsOptions:
    """How to speak to a PACS.

    Attributes:
        title: our own application entity title.
        receive_port: where the PACS sends to; then C-MOVE is used in place of C-GET.
        tls: DIMSE over TLS; DICOMweb goes by its address.
        ca: certificates to trust in place of the system's.
        certificate: our own, where the PACS asks for one; with its key, PEM.
        plain_http: allow http:// to other machines.
        timeout: seconds to wait for an answer.
        user: for DICOMweb.
        password: for DICOMweb.
        token: for DICOMweb, in place of user and password.
    """

    title: str = "MEDFED"
    receive_port: int | None = None
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    plain_http: bool = False
    timeout: float = 60.0
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        check_title(self.title)
        for file in (self.ca, self.certificate):
            if file is not None and not file.is_file():
                raise PacsError("certificate", f"there is no certificate {file}")


def parse_address(text: str) -> Address:
    """The address of a PACS.

    Raises:
        PacsError: ``address``: it is of neither form, or holds a password.
    """
    if "://" in text:
        return _web(text)
    found = DIMSE.fullmatch(text)
    if not found or not 0 < int(found["port"]) < 65536:
        raise PacsError("address", f"{text!r} is not the address of a PACS", remedy=FORMS)
    return DimseAddress(check_title(found["title"]), found["host"].strip("[]"), int(found["port"]))


def check_title(title: str) -> str:
    """A title, if it can be one.

    Raises:
        PacsError: ``address``.
    """
    if not TITLE.fullmatch(title):
        message = f"{title!r} is no application entity title"
        raise PacsError("address", message, remedy="One has 1 to 16 plain letters and digits")
    return title


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_context(options: PacsOptions) -> ssl.SSLContext:
    """TLS that trusts the system's certificates or the given ones, and always checks.

    Raises:
        PacsError: ``certificate``: a file holds none.
    """
    try:
        context = ssl.create_default_context(cafile=options.ca)
        if options.certificate is not None:
            context.load_cert_chain(options.certificate)
    except (ssl.SSLError, OSError) as error:
        file = options.certificate or options.ca
        raise PacsError("certificate", f"{file} holds no usable certificate") from error
    return context


def _web(text: str) -> WebAddress:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        raise PacsError("address", "this is not the address of a PACS", remedy=FORMS) from None
    if parts.username or parts.password:
        message = "the address holds a user name or password, which others can read"
        remedy = "Leave it out, and set MEDFED_PACS_USER and MEDFED_PACS_PASSWORD"
        raise PacsError("address", message, remedy=remedy)
    if not usable or parts.query or parts.fragment:
        raise PacsError("address", f"{text!r} is not the address of a PACS", remedy=FORMS)
    return WebAddress(text.rstrip("/"))
