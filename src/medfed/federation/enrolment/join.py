"""A hospital joins: keys made here, the coordinator's certificate checked against the code.

What is on disk when something goes wrong: nothing, if the coordinator said no or was not reached;
the new keys alone, if its answer may have been lost on the way, so that the same command, run
again, asks with the same keys.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

from medfed import __version__
from medfed.core.errors import SiteError
from medfed.core.files import write_atomic
from medfed.federation.enrolment.certificates import CA, certificate_fingerprint, trusting
from medfed.federation.enrolment.code import InviteCode
from medfed.federation.enrolment.desk import REASONS
from medfed.federation.enrolment.node_key import NODE_KEY, load_node_key, make_node_key
from medfed.federation.enrolment.settle import check_folder, check_obedience, settle
from medfed.federation.enrolment.statement import sign_statement, state
from medfed.federation.enrolment.web import Answer, Unreachable, Web, proxy_for, unverified
from medfed.federation.keys import PRIVATE, PUBLIC, fingerprint, load_key, make_key

BASE = "/v1/enrol"
CLOCK = 60.0
"""Seconds by which clocks may differ before anybody is told."""
Recorded = Callable[[Path, str], AbstractContextManager[None]]
"""Records that a folder is about to join the federation of a name; inside it joins, or fails."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What a site has after it joined.

    Attributes:
        folder: The site's folder.
        site: Its name.
        federation: The federation's name.
        address: The coordinator's address.
        fingerprint: Of the site's key, to read out by telephone.
        coordinator: Fingerprint of the coordinator's key, to compare with what they read out.
        clock: Seconds that this machine's clock is ahead of the coordinator's, if it is known.
    """

    folder: Path
    site: str
    federation: str
    address: str
    fingerprint: str
    coordinator: str
    clock: float | None


def join(
    text: str,
    folder: Path | None = None,
    *,
    data: Path | None = None,
    min_patients: int | None = None,
    proxy: str | None = None,
    timeout: float = 15.0,
    recorded: Recorded = lambda _folder, _federation: nullcontext(),
) -> Joined:
    """Join a federation with an invitation code.

    Args:
        text: The code.
        folder: The site's folder, new or made by ``medfed site init``; the site's name when None.
        data: Folder of the site's data.
        min_patients: With fewer training patients the site refuses.
        proxy: The way out; the environment's when None.
        timeout: Seconds to wait for a sign of life.
        recorded: How it is recorded.

    Raises:
        SiteError: With what to do about it.
        DataError: The data folder does not exist.
    """
    code = InviteCode.parse(text)
    folder = folder or Path(code.site)
    check_folder(folder, code, data)
    authority, clock = _authority(code, proxy, timeout)
    web = Web(code.address, trusting(authority), proxy, timeout)
    try:
        hello = web.get(f"{BASE}/hello")  # before anything is written: whether TLS holds
    except Unreachable as error:
        raise _with_clock(error, clock) from None
    check_obedience(folder, _says(hello, "fingerprint"))  # before anybody is enrolled
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = _there(folder)
    with recorded(folder, _says(hello, "name")[:64]):
        try:
            key = load_key(folder) if (folder / PRIVATE).exists() else make_key(folder)
            answer = web.post(BASE, _statement(folder, code, key))
            welcome = _welcome(answer)
        except (Unreachable, _TryAgain) as error:
            raise _kept(error) from None
        except BaseException:
            _clean(folder, new, before)
            raise
        coordinator = _coordinator_key(welcome)
        write_atomic(folder / CA, authority.public_bytes(Encoding.PEM))
        settle(folder, code, coordinator, data=data, min_patients=min_patients, proxy=proxy)
    return Joined(
        folder=folder,
        site=code.site,
        federation=str(welcome.get("name", ""))[:64],
        address=str(code.address),
        fingerprint=fingerprint(key.public_key()),
        coordinator=fingerprint(coordinator),
        clock=clock,
    )


class _TryAgain(SiteError):
    """The coordinator may have enrolled this site already."""


def _authority(
    code: InviteCode, proxy: str | None, timeout: float
) -> tuple[x509.Certificate, float | None]:
    """The certificate to trust: from anybody who has it, because the code says which it is."""
    answer = Web(code.address, unverified(), proxy, timeout).get(f"{BASE}/ca.pem")
    try:
        if answer.status != 200:
            raise ValueError(answer.status)
        found = x509.load_pem_x509_certificate(answer.body)
    except ValueError:
        message = f"{code.address} answers, but not as a medfed coordinator"
        through = " or by the proxy" if proxy_for(code.address, proxy) else ""
        remedy = (
            f"Ask the coordinator whether it is running; the answer may be made by nginx{through}"
        )
        raise SiteError(message, remedy=remedy) from None
    if certificate_fingerprint(found) != code.authority:
        message = f"{code.address} is not the coordinator that sent this code: other certificate"
        remedy = "Trust nothing there: ask the coordinator by telephone, and for a new code"
        raise SiteError(message, remedy=remedy)
    return found, answer.clock


def _says(answer: Answer, what: str) -> str:
    """A word of the coordinator's about itself; empty where it says none."""
    try:
        return str(json.loads(answer.body)[what])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def _with_clock(error: Unreachable, clock: float | None) -> SiteError:
    """A certificate that is not valid now: the server's clock says whether ours is to blame."""
    if error.cause != "tls" or clock is None or abs(clock) <= CLOCK:
        return error
    side = "ahead of" if clock > 0 else "behind"
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    message = (
        f"{error.message}; this machine's clock is {span(abs(clock))} {side} the coordinator's"
    )
    return SiteError(message, remedy=f"Set the clock: it says {moment} UTC")


def span(seconds: float) -> str:
    """A length of time in words, roughly."""
    for size, word in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} seconds"


def _statement(folder: Path, code: InviteCode, key: Ed25519PrivateKey) -> bytes:
    node = load_node_key(folder) if (folder / NODE_KEY).exists() else make_node_key(folder)
    said = state(code.site, key.public_key(), node, __version__, code.authority)
    return sign_statement(said, code.key, key, node)


def _welcome(answer: Answer) -> dict[str, Any]:
    """The coordinator's answer, or its "no" in our own words."""
    try:
        given = json.loads(answer.body)
        if not isinstance(given, dict):
            raise TypeError
        name = given["error"]["name"] if "error" in given else ""
    except (ValueError, LookupError, TypeError, RecursionError):
        given, name = {}, "http"
    if answer.status == 200 and "key" in given:
        return given
    if name in REASONS and name != "not-now":
        message, remedy, _ = REASONS[name]
        raise SiteError(message, remedy=remedy)
    raise _TryAgain(f"the coordinator answered with HTTP status {answer.status}")


def _coordinator_key(welcome: dict[str, Any]) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(str(welcome["key"]).encode())
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        remedy = "Update medfed here or there"
        raise SiteError("the coordinator's key is of a kind unknown here", remedy=remedy)
    return key


def _kept(error: SiteError) -> SiteError:
    remedy = "Run the same command again: it goes on with the keys it has made"
    return SiteError(error.message, remedy=f"{error.remedy}. {remedy}" if error.remedy else remedy)


def _there(folder: Path) -> set[str]:
    return {name for name in (PRIVATE, PUBLIC, NODE_KEY) if (folder / name).exists()}


def _clean(folder: Path, new: bool, before: set[str]) -> None:
    """After a no: take away what this attempt made, and only that."""
    if new:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for name in (PRIVATE, PUBLIC, NODE_KEY):
        if name not in before:
            (folder / name).unlink(missing_ok=True)
