"""CKKS as TenSEAL has it: one set of parameters, checked wherever a context comes from elsewhere.

Cheon, Kim, Kim and Song 2017, "Homomorphic encryption for arithmetic of approximate numbers"
(ASIACRYPT). The parameters are those of the homomorphic encryption standard for 128 bits and more
(Albrecht et al. 2018, table 1). Sums alone are wanted: one level, and no keys to multiply or
rotate by. All who encrypt hold the secret key, so they encrypt by it, which is quicker than by a
public one and adds less noise.

What is decrypted is rounded by noise before it leaves: whoever knows a ciphertext and its exact
decryption can compute the key (Li and Micciancio 2021, "On the security of homomorphic encryption
on approximate numbers"; the remedy: Li, Micciancio, Schultz and Sorrell 2022).
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from medfed.aggregators.encrypted import crew
from medfed.core.errors import Refused
from medfed.core.update import Array

DEGREE = 8192
PRIMES = (60, 60, 60)
SCALE = 2.0**55
SLOTS = DEGREE // 2
"""Numbers in one ciphertext."""
MOST_BITS = {4096: 109, 8192: 218, 16384: 438}
"""Bits that the modulus may have at each degree, for 128 bits of security against any attack known
when the standard was written; more bits are easier to break."""
NOISE = 2.0**-20
"""Standard deviation of what is added to a decrypted number: above 2^22 times the error
of CKKS itself in a sum of ten sites."""
ERROR = 8 * NOISE
"""What a decrypted sum is good to, as the mean of two decryptions and of numbers up to `NARROW`:
two deviations for CKKS itself (`RELATIVE`, 256 sites), and six, of the mean more than eight, for
the noise; beyond lies one number in 10^15."""
RELATIVE = 2.0**-50
"""What CKKS is good to by itself, against the largest number in the same ciphertext: its encoding
goes through a Fourier transform in float64."""
NARROW = 2.0**22
"""Largest number beside which `ERROR` holds."""
LARGEST = 2.0**52
ENOUGH = 100
"""Ciphertexts that are worth starting processes for, which takes some quarter of a second once."""


def make() -> Any:
    """A fresh context, with its secret key."""
    import tenseal

    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS,
        DEGREE,
        coeff_mod_bit_sizes=list(PRIMES),
        encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC,
    )
    context.global_scale = SCALE
    return context


def with_key(context: Any) -> bytes:
    """A context for a site, with the secret key."""
    return _serialised(context, secret=True)


def without_keys(context: Any) -> bytes:
    """A context for the coordinator: enough to add, not to encrypt and not to decrypt."""
    return _serialised(context, secret=False)


def _serialised(context: Any, *, secret: bool) -> bytes:
    blob: bytes = context.serialize(
        save_public_key=False,
        save_secret_key=secret,
        save_galois_keys=False,
        save_relin_keys=False,
    )
    return blob


def opened(blob: bytes, *, secret: bool) -> Any:
    """A context that came from elsewhere, once it is certain that it is as it must be.

    Args:
        blob: The context.
        secret: Whether it must hold the secret key, or must not.

    Raises:
        Refused: ``unsafe-sum``: it is none, or of other or weaker parameters.
    """
    import tenseal

    try:
        context = tenseal.context_from(blob)
    except (ValueError, RuntimeError):
        raise Refused("unsafe-sum", "the encryption context cannot be read") from None
    flaw = _flaw(context, secret)
    if flaw:
        raise Refused("unsafe-sum", f"the encryption context {flaw}")
    return context


def _flaw(context: Any, secret: bool) -> str:
    whole = context.seal_context().data.key_context_data()
    degree, bits = whole.parms().poly_modulus_degree(), whole.total_coeff_modulus_bit_count()
    if bits > MOST_BITS.get(degree, 0):
        return "gives less than 128 bits of security"
    if degree != DEGREE or bits != sum(PRIMES) or whole.chain_index() != len(PRIMES) - 1:
        return f"has degree {degree} and a modulus of {bits} bits, which is not what was agreed"
    if context.global_scale != SCALE:
        return "has another scale than was agreed"
    if secret and not _is_symmetric(context):
        return "encrypts by a public key, which is not what was agreed"
    if context.is_private() != secret:
        return "lacks the secret key" if secret else "holds the secret key"
    return ""


def encrypt(context: Any, pieces: Iterable[Array], count: int) -> Iterator[bytes]:
    """A ciphertext of each piece, on all cores where there are enough of them.

    Args:
        context: With the secret key.
        pieces: Float64 vectors of up to ``SLOTS`` numbers.
        count: About how many there are.
    """
    return _worked(context, ENCRYPT, (piece.tobytes() for piece in pieces), count)


def _is_symmetric(context: Any) -> bool:
    try:
        context.has_public_key()
    except ValueError:  # so the library says it
        return True
    return False


def pieces_of(values: Array, largest: float = LARGEST) -> Iterator[Array]:
    """A float64 vector in pieces of ``SLOTS`` numbers.

    Args:
        values: The numbers.
        largest: What none of them may exceed.

    Raises:
        Refused: ``not-finite``, which a number beyond all reason is taken for too.
    """
    for start in range(0, values.size, SLOTS):
        piece = values[start : start + SLOTS]
        if not np.all(np.abs(piece) <= largest):  # also false for NaN
            raise Refused("not-finite")
        yield piece


def decrypt(context: Any, ciphertexts: Iterator[bytes], count: int) -> Array:
    """The numbers of ciphertexts, float64 ``(count,)``, good to `ERROR` and `RELATIVE`.

    Raises:
        Refused: ``unsafe-sum``: they are none of this context's.
    """
    values = np.empty(count, np.float64)
    at = 0
    try:
        for plain in _worked(context, DECRYPT, ciphertexts, -(-count // SLOTS)):
            piece = np.frombuffer(plain)
            if at + piece.size > count:
                raise Refused("unsafe-sum", "the ciphertexts hold more than was asked for")
            values[at : at + piece.size] = piece
            at += piece.size
    except (ValueError, RuntimeError):
        raise Refused("unsafe-sum", "a ciphertext is not of this context") from None
    if at != count:
        raise Refused("unsafe-sum", "the ciphertexts hold less than was asked for")
    return values + NOISE * gaussian(count)


def _worked(context: Any, verb: bytes, pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    alone = partial(WORK[verb], context)
    if count < ENOUGH or crew.CORES == 1:
        return map(alone, pieces)
    return crew.shared(with_key(context), verb, pieces, alone)


def _sealed(context: Any, plain: bytes) -> bytes:
    import tenseal

    blob: bytes = tenseal.ckks_vector(context, np.frombuffer(plain)).serialize()
    return blob


def _unsealed(context: Any, blob: bytes) -> bytes:
    import tenseal

    return np.array(tenseal.ckks_vector_from(context, blob).decrypt()).tobytes()


ENCRYPT, DECRYPT = b"e", b"d"
WORK: Mapping[bytes, Callable[[Any, bytes], bytes]] = {ENCRYPT: _sealed, DECRYPT: _unsealed}
"""What is done to a piece, float64 numbers or a ciphertext of them."""


def gaussian(count: int) -> Array:
    """Standard normal numbers out of a key of the operating system that nothing else is made of.

    A stream of AES in counter mode, which is quicker than the system's own, by Box and Muller 1958.
    """
    pairs = (count + 1) // 2
    stream = Cipher(algorithms.AES128(os.urandom(16)), modes.CTR(bytes(16))).encryptor()
    words = np.frombuffer(stream.update(bytes(16 * pairs)), np.uint64).reshape(2, pairs)
    uniform = ((words >> np.uint64(11)) + 0.5) * 2.0**-53  # in (0, 1), both ends excluded
    radius, angle = np.sqrt(-2.0 * np.log(uniform[0])), 2.0 * np.pi * uniform[1]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
