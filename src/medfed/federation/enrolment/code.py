"""The invitation code: one line that a hospital needs in order to join.

``medfed1-`` and base32 in lower case: no sign of it is changed by mail programs, and it may be
wrapped over several lines or retyped in capitals. A check sum tells a slip from a wrong code.

The code holds the private half of a one-time Ed25519 key; the coordinator keeps the public half
only. The site signs the keys it posts with it, so the secret itself never travels after the
invitation, and nobody between can put other keys in their place.
"""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medfed.core.errors import SiteError
from medfed.core.study import PLAIN_NAME, RESERVED
from medfed.federation.enrolment.address import Address

PREFIX = "medfed1-"
MOST = 1024
"""More signs than any code has."""
_HEAD = struct.Struct(">Q32s32s")
_SUM = 5
_AGAIN = "Copy the whole code again, from medfed1- to its end, or ask the coordinator for a new one"


@dataclass(frozen=True, slots=True)
class InviteCode:
    """What a code says."""

    address: Address
    authority: bytes
    """SHA-256 of the certificate that the site is to trust."""
    site: str
    secret: bytes = field(repr=False)
    """The one-time key's private half."""
    expires: datetime

    @property
    def key(self) -> Ed25519PrivateKey:
        """The one-time key."""
        return Ed25519PrivateKey.from_private_bytes(self.secret)

    def __str__(self) -> str:
        moment = int(self.expires.timestamp())
        head = _HEAD.pack(moment, self.authority, self.secret)
        body = head + f"{self.site} {self.address}".encode()
        coded = base64.b32encode(body + _check_sum(body)).decode()
        return PREFIX + coded.rstrip("=").lower()

    @classmethod
    def parse(cls, text: str) -> "InviteCode":
        """Read a code; spaces and line breaks in it do not matter.

        Raises:
            SiteError: It is not one, or not whole.
        """
        body = _body("".join(text[: 4 * MOST].split()).lower())
        moment, authority, secret = _HEAD.unpack_from(body)
        try:
            site, address = body[_HEAD.size :].decode("ascii").split(" ")
            found = cls(
                address=Address.parse(address),
                authority=authority,
                site=site,
                secret=secret,
                expires=datetime.fromtimestamp(moment, UTC),
            )
        except (ValueError, OverflowError, OSError, SiteError):
            raise _wrong("this code cannot be understood") from None
        if not PLAIN_NAME.fullmatch(site) or site in RESERVED:
            raise _wrong("this code names no site")
        return found


def _body(text: str) -> bytes:
    """The bytes of a code, after its check sum."""
    if not text.startswith(PREFIX):
        if text.startswith("medfed"):
            remedy = "Update medfed, or ask the coordinator for a code of this version"
            raise SiteError("this code is for another version of medfed", remedy=remedy)
        raise _wrong(f"this is not an invitation code: one begins with {PREFIX}")
    coded = text.removeprefix(PREFIX)
    if len(coded) > MOST:
        raise _wrong("this code is too long")
    try:
        whole = base64.b32decode(coded.upper() + "=" * (-len(coded) % 8))
    except (binascii.Error, ValueError):
        raise _wrong("this code is not whole, or holds signs that no code has") from None
    body, check = whole[:-_SUM], whole[-_SUM:]
    if len(body) < _HEAD.size or check != _check_sum(body):
        raise _wrong("this code is not whole, or has a slip in it")
    return body


def _check_sum(body: bytes) -> bytes:
    """Against slips, not against people: who holds a code may do what it allows anyway."""
    return hashlib.sha256(b"medfed invitation" + body).digest()[:_SUM]


def _wrong(message: str) -> SiteError:
    return SiteError(message, remedy=_AGAIN)
