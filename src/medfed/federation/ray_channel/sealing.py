"""Messages that Ray only carries: sealed between a run and each site's process.

Ray moves objects out of its store to the disk when the store is full, and to other machines. For a
run in an encrypted folder the messages are sealed before Ray has them. Each process has an X25519
key of its own, made when it starts and kept nowhere; the key of two of them is HKDF-SHA256 of what
they share, bound to both public keys. Whoever can run code on the cluster is not kept out by this:
that is what messages are signed for.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from medfed.federation.wire import Sealed
from medfed.privacy.at_rest.stream import opened, sealed

ORDER, REPLY = b"order", b"reply"
"""Which way a message goes; it opens on no other."""


class End:
    """One process's end: its key, and what it shares with another."""

    def __init__(self) -> None:
        self._own = X25519PrivateKey.generate()
        self.public = self._own.public_key().public_bytes_raw()

    def seal(self, message: Sealed, to: bytes, way: bytes) -> Any:
        """A message for the process with a public key, as Ray carries it."""
        pieces = sealed(message.pieces(), self._key(to), way)
        return np.frombuffer(b"".join(pieces), np.uint8)

    def open(self, blob: Any, of: bytes, way: bytes) -> Sealed:
        """What the process with a public key sealed for this one.

        Raises:
            DataError: It was changed on the way, or was meant for another.
        """
        content = np.asarray(blob, np.uint8).data  # read where Ray keeps it
        return Sealed.from_bytes(opened(content, self._key(of), way))

    def _key(self, other: bytes) -> bytes:
        common = self._own.exchange(X25519PublicKey.from_public_bytes(other))
        both: Sequence[bytes] = sorted((self.public, other))
        return HKDF(SHA256(), 32, None, b"medfed ray\x00" + b"".join(both)).derive(common)
