"""Open invitations: ``invites/NAME.json`` with the public half of a one-time key."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from medfed.core.errors import SiteError
from medfed.core.files import write_json
from medfed.core.study import PLAIN, PLAIN_NAME, RESERVED
from medfed.federation.enrolment.address import Address
from medfed.federation.enrolment.certificates import certificate_fingerprint
from medfed.federation.enrolment.code import InviteCode
from medfed.federation.enrolment.folder import CoordinatorFolder
from medfed.federation.enrolment.roster import enrolled_site, remove_site

INVITES = "invites"
UNITS: Mapping[str, int] = {"m": 60, "h": 3600, "d": 86400}
LONGEST = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the coordinator keeps of an invitation.

    Attributes:
        site: The name it is for.
        public: The one-time key's public half, hexadecimal.
        made: When, ISO 8601 in UTC.
        expires: Until when it can be used for the first time.
    """

    site: str
    public: str
    made: str
    expires: str

    @property
    def key(self) -> Ed25519PublicKey:
        """The one-time key's public half."""
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public))

    def expired(self, now: datetime) -> bool:
        """Whether it is too late for a first use."""
        return now >= datetime.fromisoformat(self.expires)


def invite(folder: CoordinatorFolder, site: str, valid: timedelta) -> InviteCode:
    """Invite a site; an invitation for the same name that nobody used is void from now on.

    Args:
        folder: The coordinator's.
        site: The name the site will have.
        valid: For how long the code can be used.

    Returns:
        The code, which is kept nowhere: print it, and forget it.

    Raises:
        SiteError: The name cannot be used or is taken, or the time is out of bounds.
    """
    if not PLAIN_NAME.fullmatch(site) or site in RESERVED:
        raise SiteError(f"{site!r} is not a site name", remedy=f"Use {PLAIN}")
    if not timedelta(minutes=1) <= valid <= LONGEST:
        remedy = f"Give between 1m and {LONGEST.days}d"
        raise SiteError("an invitation cannot be valid for so short or long", remedy=remedy)
    settings, authority = folder.settings(), folder.authority()
    secret, now = Ed25519PrivateKey.generate(), datetime.now(UTC).replace(microsecond=0)
    public = secret.public_key().public_bytes_raw().hex()
    made = Invitation(site, public, now.isoformat(), (now + valid).isoformat())
    with folder.locked():
        if enrolled_site(folder.path, site):
            remedy = f"Choose another, or first: medfed coordinator remove {folder.path} {site}"
            raise SiteError(f"a site called {site} has enrolled already", remedy=remedy)
        (folder.path / INVITES).mkdir(exist_ok=True, mode=0o700)
        write_json(_file(folder, site), asdict(made))
    return InviteCode(
        address=Address.parse(settings.address),
        authority=certificate_fingerprint(authority),
        site=site,
        secret=secret.private_bytes_raw(),
        expires=now + valid,
    )


def invitation(folder: CoordinatorFolder, site: str) -> Invitation | None:
    """The invitation for a name; None if there is none that can be read."""
    if not PLAIN_NAME.fullmatch(site):
        return None
    try:
        given: dict[str, Any] = json.loads(_file(folder, site).read_bytes())
        found = Invitation(**given)
        datetime.fromisoformat(found.expires)
        _ = found.key
    except (OSError, ValueError, TypeError):
        return None
    return found


def open_invitations(folder: CoordinatorFolder) -> list[Invitation]:
    """Invitations that nobody has used, expired ones too."""
    names = [file.stem for file in sorted((folder.path / INVITES).glob("*.json"))]
    found = [invitation(folder, name) for name in names if not enrolled_site(folder.path, name)]
    return [one for one in found if one]


def forget_site(folder: CoordinatorFolder, site: str) -> None:
    """Remove an enrolled site and its invitation, or an invitation that nobody used.

    Raises:
        SiteError: Neither is there.
    """
    with folder.locked():
        file = _file(folder, site)
        if not (PLAIN_NAME.fullmatch(site) and file.exists()) or enrolled_site(folder.path, site):
            remove_site(folder.path, site)
        file.unlink(missing_ok=True)


def parse_duration(text: str) -> timedelta:
    """A time such as ``30m``, ``48h`` or ``7d``.

    Raises:
        ValueError: It is not one.
    """
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", text.strip().lower())
    if not found:
        raise ValueError(f"{text!r} is not a time")
    return timedelta(seconds=int(found[1]) * UNITS[found[2]])


def _file(folder: CoordinatorFolder, site: str) -> Path:
    return folder.path / INVITES / f"{site}.json"
