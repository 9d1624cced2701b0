"""Signed notes and checkpoints, as transparency logs everywhere write them.

C2SP `signed-note` (https://c2sp.org/signed-note) and `tlog-checkpoint`
(https://c2sp.org/tlog-checkpoint), with Ed25519::

    medfed/north
    3
    qqq8/idLcKFPsGel5VeCZNsPqbUa9eC6FZFY8yngbnc=

    — medfed/north Zm9vYg…
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from medfed.core.errors import WireError

ED25519 = b"\x01"
DASH = "— "
MAX_NOTE = 64 * 1024
"""Bytes a note may have: a checkpoint has some two hundred."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log at one moment.

    Attributes:
        origin: Which log: ``medfed/SITE``.
        size: How many entries it has.
        root: The head of its Merkle tree.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read what `text` wrote; further lines are extensions, and are passed over.

        Raises:
            WireError: It is no checkpoint.
        """
        origin, *rest = text.split("\n")
        try:
            size, root = int(rest[0]), base64.b64decode(rest[1], validate=True)
        except (IndexError, ValueError):
            raise _no_checkpoint() from None
        if not origin or len(root) != 32 or size < 0 or str(size) != rest[0]:
            raise _no_checkpoint()
        return cls(origin, size, root)


def sign_note(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """A text and a signature under it.

    Args:
        text: Ends with a newline.
        name: Who signs; without spaces and plus signs.
        key: Its key.
    """
    return note_of(text, name, key.public_key(), key.sign(text.encode()))


def note_of(text: str, name: str, key: Ed25519PublicKey, signature: bytes) -> str:
    """A text and a signature that is there already."""
    line = base64.b64encode(key_id(name, key) + signature).decode()
    return f"{text}\n{DASH}{name} {line}\n"


def open_note(note: str, name: str, key: Ed25519PublicKey) -> str:
    """The text of a note that a known key signed; others may have signed it too.

    Raises:
        WireError: It is no note, or the key did not sign it.
    """
    text, blank, signatures = note.rpartition("\n\n")
    if len(note) > MAX_NOTE or not blank or not signatures.endswith("\n"):
        raise WireError("this is no signed note")
    text += "\n"
    wanted = key_id(name, key)
    for line in signatures.splitlines():
        who, _, encoded = line.removeprefix(DASH).partition(" ")
        raw = _decoded(encoded)
        if not line.startswith(DASH) or len(raw) < len(wanted):
            raise WireError("this is no signed note")
        if who == name and raw.startswith(wanted):
            try:
                key.verify(raw[len(wanted) :], text.encode())
            except InvalidSignature:
                raise WireError(f"the signature of {name} under the note is wrong") from None
            return text
    raise WireError(f"the note is not signed by {name} with the key that is known")


def key_id(name: str, key: Ed25519PublicKey) -> bytes:
    """The four bytes by which a signature names its key."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + raw).digest()[:4]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _no_checkpoint() -> WireError:
    return WireError("this is no checkpoint of a log")
