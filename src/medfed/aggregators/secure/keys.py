"""Keys and shares of one conversation. Everything secret comes from the operating system.

A secret is a seed of 16 bytes, because that is what is divided among the peers (Shamir 1979, over
GF(2^128)); the X25519 key and the mask's AES key are derived from it.
"""

import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from medfed.core.errors import Refused, WireError
from medfed.core.files import canonical_json

SEED = 16
SEALED = 2 * SEED + 16
"""Bytes of two shares under ChaCha20-Poly1305."""
LABEL = "medfed secure sum 2"
_NONCE = bytes(12)
"""Sound because each AEAD key seals one message: it is bound to sender, receiver and session."""


def new_seed() -> bytes:
    """A fresh secret."""
    return os.urandom(SEED)


def derive(secret: bytes, purpose: str, *bound: object, size: int = 32) -> bytes:
    """A key for one purpose, bound to everything named (HKDF-SHA-256)."""
    info = canonical_json([LABEL, purpose, *bound])
    return HKDF(SHA256(), size, salt=None, info=info).derive(secret)


def private_key(seed: bytes) -> X25519PrivateKey:
    """The X25519 key of a seed."""
    return X25519PrivateKey.from_private_bytes(derive(seed, "x25519"))


def public_bytes(seed: bytes) -> bytes:
    """The public half of a seed's key: 32 bytes."""
    return private_key(seed).public_key().public_bytes_raw()


def shared(seed: bytes, public: bytes) -> bytes:
    """What two sites have in common.

    Raises:
        WireError: The public key is none (a point of small order among them).
    """
    try:
        return private_key(seed).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise WireError("a public key of a secure sum cannot be used") from None


def commitment(seed: bytes) -> bytes:
    """Binds a site to its own mask's seed; says nothing of it, for it is 128 random bits."""
    return hashlib.sha256(derive(seed, "commitment")).digest()


def split(seed: bytes, threshold: int, count: int) -> list[bytes]:
    """Divide a seed: ``threshold`` of the shares give it back, fewer say nothing.

    Returns:
        The shares in the order of the peers' places.
    """
    from Crypto.Protocol.SecretSharing import Shamir

    shares = Shamir.split(threshold, count, seed, ssss=False)
    return [share for _, share in sorted(shares)]


def join(shares: Sequence[tuple[int, bytes]]) -> bytes:
    """The seed of enough shares, each with the place (from 0) of the peer who held it."""
    from Crypto.Protocol.SecretSharing import Shamir

    return bytes(Shamir.combine([(place + 1, share) for place, share in shares], ssss=False))


def seal_shares(key: bytes, shares: bytes, bound: Sequence[object]) -> bytes:
    """Encrypt the two shares that one peer gets."""
    return ChaCha20Poly1305(key).encrypt(_NONCE, shares, canonical_json(list(bound)))


def open_shares(key: bytes, sealed: bytes, bound: Sequence[object]) -> bytes:
    """Decrypt the two shares that a peer sent.

    Raises:
        Refused: ``unsafe-sum``: they were changed, or belong to another conversation.
    """
    try:
        shares = ChaCha20Poly1305(key).decrypt(_NONCE, sealed, canonical_json(list(bound)))
    except InvalidTag:
        message = "shares that came with the order are not those that a peer sent"
        raise Refused("unsafe-sum", message) from None
    if len(shares) != 2 * SEED:
        raise Refused("unsafe-sum", "shares that came with the order have a wrong length")
    return shares
