"""Paillier as sf-heu has it: one size of key, checked wherever a key comes from elsewhere.

Paillier 1999, "Public-key cryptosystems based on composite degree residuosity classes"
(EUROCRYPT), in the quicker form of Damgård, Jurik and Nielsen 2010, "A generalization of Paillier's
public-key system with applications to electronic voting". 3072 bits of modulus are what NIST
SP 800-57 (part 1, table 2) gives 128 bits of security for.

Decryption is exact, so what is decrypted says nothing of the key.
"""

import json
from typing import Any

from medfed.core.errors import Refused

BITS = 3072
SCHEMA = "ZPaillier"


def make() -> Any:
    """Fresh keys.

    Finding the primes takes seconds, and so do the tables that sf-heu makes of a public key,
    wherever it is read, to encrypt more quickly.
    """
    from heu import phe

    return phe.setup(phe.SchemaType.ZPaillier, BITS)


def with_key(kit: Any) -> bytes:
    """Both keys, for a site."""
    halves = {"public": kit.public_key(), "secret": kit.secret_key()}
    return json.dumps({name: half.serialize().hex() for name, half in halves.items()}).encode()


def without_key(kit: Any) -> bytes:
    """The public key, for the coordinator."""
    return json.dumps({"public": kit.public_key().serialize().hex()}).encode()


def opened(blob: bytes, *, secret: bool) -> Any:
    """Keys that came from elsewhere.

    Args:
        blob: The keys.
        secret: Whether the secret one must be among them, or must not.

    Raises:
        Refused: ``unsafe-sum``: they are none, of another size or kind, or no pair.
    """
    try:
        found = {name: bytes.fromhex(half) for name, half in json.loads(blob).items()}
        if ("secret" in found) != secret:
            lacks = "lacks the secret key" if secret else "holds the secret key"
            raise Refused("unsafe-sum", f"the encryption context {lacks}")
        kit = _kit(found) if _sized(found) else None
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, RecursionError):
        raise Refused("unsafe-sum", "the encryption context cannot be read") from None
    if kit is None or not _fits(kit):
        what = f"no Paillier key of {BITS} bits, which give 128 bits of security"
        raise Refused("unsafe-sum", f"the encryption context is {what}")
    return kit


def _sized(halves: dict[str, bytes]) -> bool:
    """Whether keys have the size of those that `make` makes, before the library reads them.

    Its tables take time with the cube of the modulus: for one ten times as long, hours. Of a public
    key (MessagePack: two texts) the modulus comes first, behind its length.
    """
    modulus = BITS // 8 + 1  # with its sign
    length = b"\xda" + modulus.to_bytes(2, "big") if modulus > 255 else bytes([0xD9, modulus])
    small = all(len(half) <= BITS // 2 for half in halves.values())
    return small and halves["public"].startswith(b"\x92" + length)


def _kit(halves: dict[str, bytes]) -> Any:
    from heu import phe

    # It looks itself whether they are a pair.
    public = phe.PublicKey.load_from(halves["public"])
    if "secret" not in halves:
        return phe.setup(public)
    return phe.setup(public, phe.SecretKey.load_from(halves["secret"]))


def _fits(kit: Any) -> bool:
    # Plaintexts reach to half of the modulus in both directions.
    bits = int(kit.public_key().plaintext_bound()).bit_length() + 1
    return kit.get_schema().name == SCHEMA and bits == BITS


def encrypted(kit: Any, number: int) -> bytes:
    """The ciphertext of a number from 0 to 2^(BITS − 2)."""
    blob: bytes = kit.encryptor().encrypt_raw(number).serialize()
    return blob


def added(kit: Any, one: Any, other: bytes) -> Any:
    """A running sum (None at the beginning) and one ciphertext more.

    Raises:
        ValueError: It is none.
    """
    from heu import phe

    try:
        piece = phe.Ciphertext.load_from(_measured(other))
        return piece if one is None else kit.evaluator().add(one, piece)
    except (RuntimeError, LookupError, ValueError, TypeError):
        raise ValueError("no ciphertext") from None


def decrypted(kit: Any, blob: bytes) -> int:
    """The number of a ciphertext; of one under another key, any number.

    Raises:
        ValueError: It is none.
    """
    from heu import phe

    try:
        return int(kit.decryptor().decrypt_raw(phe.Ciphertext.load_from(_measured(blob))))
    except (RuntimeError, LookupError, ValueError, TypeError):
        raise ValueError("no ciphertext") from None


def _measured(blob: bytes) -> bytes:
    """A ciphertext as it is written: a list of one text, which is no longer than the blob.

    The library makes room for as many things as a list says it has, before it looks for them.

    Raises:
        ValueError: It begins otherwise.
    """
    if not blob.startswith((b"\x91\xd9", b"\x91\xda")):
        raise ValueError("no ciphertext")
    return blob
