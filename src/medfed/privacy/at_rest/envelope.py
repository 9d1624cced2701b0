"""The data key of a folder, wrapped by a key that comes from outside it.

``at-rest.json`` holds the data key, encrypted with AES-256-GCM under a key that is derived from a
passphrase (scrypt, RFC 7914) or from a key file (HKDF-SHA256): one that a key management system or
a TPM unseals at start, a mounted secret, a systemd credential. To rotate is to wrap anew: no file
is touched. Without ``at-rest.json`` nobody opens anything again, which is how a folder is shredded.
"""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from medfed.core.errors import SiteError
from medfed.core.files import canonical_json, write_json

ENVELOPE = "at-rest.json"
PASSPHRASE = "passphrase"  # noqa: S105  # the word for a kind of secret, not one
VARIABLE = "MEDFED_PASSPHRASE"
LEAST_FILE, LEAST_PASSPHRASE = 32, 12
"""Bytes of a key file, characters of a passphrase."""
COST = {"n": 2**17, "r": 8, "p": 1}
"""scrypt's: 128 MB and a third of a second for each guess (OWASP's recommendation)."""
MOST = 2**20
"""What a damaged file may ask scrypt for."""


@dataclass(frozen=True, repr=False)
class Secret:
    """What opens an envelope: a passphrase, or the content of a key file.

    Attributes:
        kind: ``passphrase`` or ``key-file``.
        value: The bytes themselves.
    """

    kind: str
    value: bytes

    @classmethod
    def named(cls, how: str) -> "Secret":
        """The secret that a setting names.

        Args:
            how: ``passphrase`` (read from MEDFED_PASSPHRASE), or the path of a key file, in which
                variables such as ``$CREDENTIALS_DIRECTORY`` are filled in.

        Raises:
            SiteError: It is not there, or too short to protect anything.
        """
        if how == PASSPHRASE:
            return cls.passphrase(os.environ.get(VARIABLE, ""))
        path = Path(os.path.expandvars(how)).expanduser()
        try:
            value = path.read_bytes()
        except OSError as error:
            message = f"the key file {path} cannot be read: {error.strerror}"
            raise SiteError(message, remedy="Unseal or mount it, then start again") from None
        if len(value) < LEAST_FILE:
            message = f"the key file {path} has {len(value)} bytes, fewer than {LEAST_FILE}"
            remedy = "Make one: head -c 32 /dev/urandom > FILE"
            raise SiteError(message, remedy=remedy)
        return cls("key-file", value)

    @classmethod
    def passphrase(cls, text: str) -> "Secret":
        """A passphrase.

        Raises:
            SiteError: There is none, or it is too short.
        """
        if not text:
            remedy = f"Set {VARIABLE}, or name a key file"
            raise SiteError("the passphrase of the encrypted folder is not given", remedy=remedy)
        if len(text) < LEAST_PASSPHRASE:
            message = f"a passphrase needs {LEAST_PASSPHRASE} characters or more"
            raise SiteError(message, remedy="Take five words that nobody would say together")
        return cls(PASSPHRASE, text.encode())

    def key(self, salt: bytes, cost: Mapping[str, int]) -> bytes:
        """The wrapping key, 32 bytes."""
        if self.kind == PASSPHRASE:
            return Scrypt(salt, 32, cost["n"], cost["r"], cost["p"]).derive(self.value)
        return HKDF(SHA256(), 32, salt, b"medfed key file").derive(self.value)


def make_envelope(folder: Path, secret: Secret) -> bytes:
    """Make a data key for a folder, and wrap it; the data key.

    Raises:
        SiteError: The folder has one.
    """
    if (folder / ENVELOPE).exists():
        message = f"{folder} is encrypted already"
        raise SiteError(message, remedy="Change what opens it with `medfed site rotate-key`")
    data_key = secrets.token_bytes(32)
    _write(folder, data_key, secret)
    return data_key


def open_envelope(folder: Path, secret: Secret) -> bytes:
    """The data key of a folder.

    Raises:
        SiteError: The secret is not the one that wrapped it, or the envelope is damaged.
    """
    file = folder / ENVELOPE
    try:
        given = json.loads(file.read_bytes())
        about, wrapped = _about(given["kind"], given["salt"], given["cost"]), given["wrapped"]
        salt, nonce = base64.b64decode(given["salt"]), base64.b64decode(given["nonce"])
        blob = base64.b64decode(wrapped)
    except (OSError, LookupError, TypeError, ValueError, AttributeError):
        message = f"{file} is missing or damaged, and nothing in the folder can be read without it"
        raise SiteError(message, remedy="Restore it from a backup") from None
    if secret.kind != given["kind"]:
        message = f"{folder} is opened by a {given['kind']}, and a {secret.kind} was given"
        raise SiteError(message, remedy="Change encrypt_with")
    try:
        return AESGCM(secret.key(salt, given["cost"])).decrypt(nonce, blob, about)
    except (InvalidTag, ValueError, MemoryError):
        message = f"the {secret.kind} does not open {folder}"
        raise SiteError(
            message, remedy="Give the one it was encrypted or last rotated with"
        ) from None


def rotate(folder: Path, old: Secret, new: Secret) -> None:
    """Wrap the data key under another secret; the old one opens nothing from then on.

    A copy of the old ``at-rest.json`` together with the old secret still opens the files: where
    both may have been taken, make the folder anew.

    Raises:
        SiteError: The old secret is not the one.
    """
    _write(folder, open_envelope(folder, old), new)


def _write(folder: Path, data_key: bytes, secret: Secret) -> None:
    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    cost = COST if secret.kind == PASSPHRASE else {}
    text = base64.b64encode(salt).decode()
    wrapped = AESGCM(secret.key(salt, cost)).encrypt(
        nonce, data_key, _about(secret.kind, text, cost)
    )
    content = {
        "version": 1,
        "kind": secret.kind,
        "salt": text,
        "cost": cost,
        "nonce": base64.b64encode(nonce).decode(),
        "wrapped": base64.b64encode(wrapped).decode(),
    }
    write_json(folder / ENVELOPE, content)


def _about(kind: Any, salt: Any, cost: Any) -> bytes:
    """What is authenticated beside the wrapped key; a cost that no machine can pay is refused."""
    if kind == PASSPHRASE and not (0 < cost["n"] * cost["r"] * cost["p"] <= 8 * MOST):
        raise ValueError("the cost is out of bounds")
    return canonical_json(["medfed at rest", 1, kind, salt, cost])
