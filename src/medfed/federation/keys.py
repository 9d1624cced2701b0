"""Ed25519 keys: who signed an order or a reply."""

import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from medfed.core.errors import SiteError, WireError
from medfed.core.files import write_atomic

PRIVATE = "key.pem"
PUBLIC = "key.pub"


def make_key(folder: Path) -> Ed25519PrivateKey:
    """Make a key pair in a folder; the private half is readable by its owner only."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_atomic(folder / PRIVATE, private)
    write_atomic(folder / PUBLIC, public_pem(key.public_key()))
    return key


def load_key(folder: Path) -> Ed25519PrivateKey:
    """The private key of a folder.

    Raises:
        SiteError: No key there, or not an Ed25519 key.
    """
    try:
        key = load_pem_private_key((folder / PRIVATE).read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise SiteError(
            f"{folder} holds no usable private key ({PRIVATE})",
            remedy="Make a folder with `medfed site init`, or restore the key from a backup",
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SiteError(f"{folder / PRIVATE} is not an Ed25519 key")
    return key


def load_public(path: Path) -> Ed25519PublicKey:
    """A public key from a PEM file.

    Raises:
        SiteError: No key there, or not an Ed25519 key.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        raise SiteError(f"{path} holds no usable public key") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SiteError(f"{path} is not an Ed25519 key")
    return key


def public_pem(key: Ed25519PublicKey) -> bytes:
    """A public key as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the raw key in groups of four, to read out over the telephone."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    text = hashlib.sha256(raw).hexdigest()
    return " ".join(text[i : i + 4] for i in range(0, 32, 4))


def verify(key: Ed25519PublicKey, signature: bytes, message: bytes, who: str) -> None:
    """Check a signature.

    Raises:
        WireError: It does not match.
    """
    try:
        key.verify(signature, message)
    except InvalidSignature:
        raise WireError(f"the message is not signed by {who}") from None
