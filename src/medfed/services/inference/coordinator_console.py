"""Asking the coordinator's console, over the network, what it says of a model."""

import json
import re
import ssl
import tomllib
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medfed.core.errors import RunError, SiteError
from medfed.core.toml_guard import complaint
from medfed.federation.enrolment.address import is_loopback

FILE, TOKEN_FILE = "coordinator.toml", "coordinator.token"
FORM = 'Write it as: address = "https://HOST" and token_file = "FILE", a token for recall'
PATIENCE_SECONDS = 10.0
LONGEST_ANSWER = 10_000_000
TOKEN = re.compile(r"[A-Za-z0-9_-]{8,200}")


class Unheard(RunError):
    """The coordinator's console gave no answer that can be used."""


@dataclass(frozen=True, slots=True)
class CoordinatorConsole:
    """``coordinator.toml`` in a site's folder: where the coordinator's console answers.

    Attributes:
        address: ``https://HOST``; http:// to this machine only.
        token_file: Holds a token for recall, made in that console; beside the settings or absolute.
        ca: File of certificates to trust, in place of the system's.
        folder: Where the settings lie.
    """

    address: str
    token_file: str
    ca: str = ""
    folder: Path = field(default=Path(), repr=False)

    @classmethod
    def read(cls, site: Path) -> "CoordinatorConsole | None":
        """What a site's folder says; None where it says nothing.

        Raises:
            SiteError: The file cannot be used.
        """
        path = site / FILE
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError) as error:
            raise SiteError(f"{path} cannot be read: {error}", remedy=FORM) from error
        return cls._parsed(path, text)

    @classmethod
    def _parsed(cls, path: Path, text: str) -> "CoordinatorConsole":
        if why := complaint(text):
            raise SiteError(f"{path} cannot be read: {why}", remedy=FORM)
        try:
            given = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SiteError(f"{path} is no TOML: {error}", remedy=FORM) from None
        known = {each.name for each in fields(cls)} - {"folder"}
        if not {"address", "token_file"} <= set(given) <= known:
            names = ", ".join(sorted(known))
            raise SiteError(f"{path} holds something else than {names}", remedy=FORM)
        if not all(isinstance(value, str) for value in given.values()):
            raise SiteError(f"{path}: every field is text in quotes", remedy=FORM)
        if not _usable(given["address"]):
            raise SiteError(f"{path}: the address is none that can be trusted", remedy=FORM)
        return cls(**given, folder=path.parent)

    def model(self, sha256: str) -> Mapping[str, Any] | None:
        """What it says of the model of a digest; None where it knows none.

        Raises:
            Unheard: It gave no answer that can be used.
        """
        url = f"{self.address.rstrip('/')}/api/v1/models/by-digest/{sha256}"
        asked = urllib.request.Request(  # noqa: S310  # the scheme was checked
            url, headers={"Authorization": f"Bearer {self._token()}", "Accept": "application/json"}
        )
        try:
            with self._opener().open(asked, timeout=PATIENCE_SECONDS) as answer:
                told = json.loads(answer.read(LONGEST_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404 and _knows_none(error):
                    return None
                raise _refused(error.code) from None
        except (OSError, ValueError, HTTPException, RecursionError) as error:
            message = "the coordinator's console cannot be reached"
            raise Unheard(message, remedy="It is asked again by itself") from error
        if not isinstance(told, dict) or told.get("sha256") != sha256:
            raise Unheard("what answered is no coordinator's console", remedy=FORM)
        return told

    def _token(self) -> str:
        try:
            token = (self.folder / self.token_file).read_text("utf-8").strip()
        except (OSError, UnicodeError) as error:
            message = "the token for the coordinator's console cannot be read"
            raise Unheard(message, remedy=FORM) from error
        if not TOKEN.fullmatch(token):
            message = "the token for the coordinator's console cannot be read"
            raise Unheard(message, remedy=FORM)
        return token

    def _opener(self) -> urllib.request.OpenerDirector:
        try:
            file = str(self.folder / self.ca) if self.ca else None
            trusted = ssl.create_default_context(cafile=file)
        except (OSError, ssl.SSLError) as error:
            message = "the certificates of the coordinator's console cannot be read"
            raise Unheard(message, remedy="Look at ca in coordinator.toml") from error
        handlers = [urllib.request.HTTPSHandler(context=trusted), _StaysHere()]
        if is_loopback(urlsplit(self.address).hostname or ""):
            handlers.append(urllib.request.ProxyHandler({}))  # no proxy is told what stays here
        return urllib.request.build_opener(*handlers)


class _StaysHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: the token is for one place only."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        """Nowhere."""


def _usable(address: str) -> bool:
    try:
        parts = urlsplit(address)
        plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
        named = bool(parts.hostname) and not parts.query and not parts.fragment
        named = named and "@" not in parts.netloc and parts.port != 0  # complains of a wrong one
        return named and address.isprintable() and (parts.scheme == "https" or plain)
    except ValueError:
        return False


def _knows_none(error: urllib.error.HTTPError) -> bool:
    """Whether it is the console itself that knows no such model, and not whatever else is there."""
    try:
        told = json.loads(error.read(LONGEST_ANSWER))
    except (OSError, ValueError, HTTPException, RecursionError):
        return False
    about = told.get("error") if isinstance(told, dict) else None
    return isinstance(about, dict) and about.get("kind") == "Missing"


def _refused(status: int) -> Unheard:
    if status in (401, 403):
        message = "the coordinator's console does not take this hospital's token"
        return Unheard(message, remedy="Ask the coordinator for a new token for recall")
    return Unheard(f"the coordinator's console answered with HTTP status {status}", remedy=FORM)
