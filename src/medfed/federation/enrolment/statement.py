"""What a joining site posts: its public keys, signed by three private ones.

The one-time key of the invitation says that the asker was invited, and binds the posted keys to
the invitation: nobody between can swap them. The two new keys prove that the asker holds them.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from medfed.core.errors import WireError
from medfed.core.files import canonical_json
from medfed.core.study import PLAIN_NAME, RESERVED
from medfed.federation.enrolment import node_key
from medfed.federation.keys import public_pem, verify

SCHEMA = 1
PURPOSE = "medfed enrolment"
MAX_BODY = 16 * 1024
SIGNATURES = ("invitation", "site", "node")


@dataclass(frozen=True, slots=True)
class Statement:
    """What the site says of itself.

    Attributes:
        site: Its name.
        key: Its Ed25519 public key, PEM.
        node_key: Its node's public key, as OpenSSH writes it.
        software: Its version of medfed.
        authority: SHA-256 of the certificate it was told to trust, hexadecimal: a statement for
            one federation means nothing to another.
    """

    site: str
    key: str
    node_key: str
    software: str
    authority: str

    @property
    def public_key(self) -> Ed25519PublicKey:
        """The site's public key.

        Raises:
            WireError: It is not an Ed25519 key.
        """
        try:
            key = load_pem_public_key(self.key.encode())
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise WireError("the site's public key is not an Ed25519 key")
        return key


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement as it was received: nothing in it is believed before `check`."""

    statement: Statement
    signed: bytes
    signatures: Mapping[str, bytes]

    def check(self, invitation: Ed25519PublicKey) -> None:
        """Check all three signatures.

        Raises:
            WireError: One of them does not match.
        """
        verify(invitation, self.signatures["invitation"], self.signed, "the invitation's key")
        verify(self.statement.public_key, self.signatures["site"], self.signed, "the site's key")
        node = node_key.read_public_line(self.statement.node_key)
        node_key.verify(node, self.signatures["node"], self.signed)

    @classmethod
    def read(cls, body: bytes) -> "SignedStatement":
        """Read a posted body.

        Raises:
            WireError: It is malformed.
        """
        try:
            given = json.loads(body)
            signed = given["statement"].encode()
            said: dict[str, Any] = json.loads(signed)
            if said.pop("purpose") != PURPOSE or said.pop("schema") != SCHEMA:
                raise WireError("the enrolment is of another version")
            signatures = {name: _decoded(given["signatures"][name]) for name in SIGNATURES}
            statement = Statement(**said)
        except WireError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise WireError("the enrolment cannot be read") from None
        texts = (getattr(statement, name) for name in Statement.__slots__)
        usable = all(isinstance(one, str) and len(one) <= 2048 for one in texts)
        if not usable or not PLAIN_NAME.fullmatch(statement.site) or statement.site in RESERVED:
            raise WireError("the enrolment cannot be read")
        return cls(statement, signed, signatures)


def sign_statement(
    statement: Statement,
    invitation: Ed25519PrivateKey,
    site: Ed25519PrivateKey,
    node: EllipticCurvePrivateKey,
) -> bytes:
    """The body to post: the statement and its three signatures."""
    said = {name: getattr(statement, name) for name in Statement.__slots__}
    signed = canonical_json({"purpose": PURPOSE, "schema": SCHEMA, **said})
    signatures = {
        "invitation": invitation.sign(signed),
        "site": site.sign(signed),
        "node": node_key.sign(node, signed),
    }
    coded = {name: base64.b64encode(one).decode() for name, one in signatures.items()}
    return canonical_json({"statement": signed.decode(), "signatures": coded})


def state(
    site: str, key: Ed25519PublicKey, node: EllipticCurvePrivateKey, software: str, authority: bytes
) -> Statement:
    """A statement about these keys."""
    line = node_key.public_line(node.public_key())
    return Statement(site, public_pem(key).decode(), line, software, authority.hex())


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise WireError("a signature cannot be read") from None
