"""The key pair by which a site proves to Flower's SuperLink which node it is.

ECDSA over P-384 in OpenSSH's format, the only one that ``--auth-supernode-private-key`` reads.
"""

from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from medfed.core.errors import SiteError, WireError
from medfed.core.files import write_atomic

NODE_KEY = "node.key"


def make_node_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """Make the pair in a folder, readable by its owner only."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    write_atomic(folder / NODE_KEY, private)
    return key


def load_node_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """The pair of a folder.

    Raises:
        SiteError: There is none, or it is of another kind.
    """
    try:
        key = load_ssh_private_key((folder / NODE_KEY).read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        remedy = "Restore it from a backup, or join again with a new code"
        raise SiteError(f"{folder} holds no usable {NODE_KEY}", remedy=remedy) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp384r1":
        raise SiteError(f"{folder / NODE_KEY} is not a P-384 key")
    return key


def public_line(key: ec.EllipticCurvePublicKey) -> str:
    """The public half as ``ecdsa-sha2-nistp384 …``, which ``flwr supernode register`` reads."""
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def read_public_line(line: str) -> ec.EllipticCurvePublicKey:
    """The key of a `public_line`.

    Raises:
        WireError: It is not one, or of another curve.
    """
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise WireError("the node's public key cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise WireError("the node's public key is not a P-384 key")
    return key


def node_public_pem(line: str) -> bytes:
    """The key of a `public_line` as PEM, which Flower's RegisterNode call takes."""
    key = read_public_line(line)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Prove possession of the private half."""
    return key.sign(message, ec.ECDSA(SHA384()))


def verify(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> None:
    """Check a proof of possession.

    Raises:
        WireError: It does not match.
    """
    try:
        key.verify(signature, message, ec.ECDSA(SHA384()))
    except InvalidSignature:
        raise WireError("whoever asks does not hold the node's private key") from None
