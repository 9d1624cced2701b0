"""The vault of a folder: private files are sealed on their way to the disk, opened in memory."""

import base64
import os
import secrets
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import sqlcipher3.dbapi2 as sqlcipher
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from medfed.core.errors import DataError, SiteError
from medfed.core.files import Buffer, write_atomic
from medfed.core.vault import OPEN, Vault
from medfed.privacy.at_rest import database
from medfed.privacy.at_rest.envelope import ENVELOPE, Secret, make_envelope, open_envelope
from medfed.privacy.at_rest.stream import SealedBlob, is_sealed, sealed


class SealedVault:
    """Implements `medfed.core.vault.Vault` with encryption.

    Args:
        root: The folder; a file is bound to its place below it.
        key: The data key, 32 bytes.
    """

    sealed = True
    sqlite = sqlcipher

    def __init__(self, root: Path, key: bytes) -> None:
        self.root = root.resolve()
        self._key = key
        self._lines = AESGCM(HKDF(SHA256(), 32, None, b"medfed lines").derive(key))

    def write(
        self,
        path: Path,
        chunks: Buffer | Iterable[Buffer],
        *,
        durable: bool = True,
        place: Path | None = None,
    ) -> None:
        """Seal a file, whole or not at all; it opens at its place only."""
        pieces = sealed(chunks, self._key, self._what(place or path))
        write_atomic(path, pieces, durable=durable)

    def seals(self, path: Path) -> bool:
        """Whether a file begins as sealed ones do."""
        return is_sealed(path)

    def read(self, path: Path) -> bytes:
        """A whole file, opened."""
        blob = self.blob(path)
        return bytes(blob.read(0, len(blob)))

    def blob(self, path: Path) -> SealedBlob:
        """A file to be read in part."""
        return SealedBlob(path, self._key, self._what(path))

    def line(self, text: str, what: str = "") -> str:
        """A line sealed by itself."""
        nonce = secrets.token_bytes(12)
        blob = self._lines.encrypt(nonce, text.encode(), what.encode())
        return base64.b64encode(nonce + blob).decode()

    def opened_line(self, line: str, what: str = "") -> str:
        """What `line` sealed.

        Raises:
            DataError: It was changed, or is no such sealed line.
        """
        try:
            raw = base64.b64decode(line, validate=True)
            return self._lines.decrypt(raw[:12], raw[12:], what.encode()).decode()
        except (InvalidTag, ValueError):
            raise DataError("a line was changed or is not sealed") from None

    def connect(self, path: Path, timeout: float, *, shared: bool = False) -> sqlite3.Connection:
        """An encrypted database."""
        return database.connect(path, self._database_key(path), timeout, shared=shared)

    def encrypt_database(self, path: Path) -> bool:
        """Encrypt a database that lies open, whole or not at all; whether there was one."""
        if not path.exists() or not database.lies_open(path):
            return False
        database.encrypt(path, self._database_key(path))
        return True

    def _database_key(self, path: Path) -> bytes:
        """Each database has a key of its own: put in another's place, it does not open."""
        info = b"medfed database\x00" + self._what(path)
        return HKDF(SHA256(), 32, None, info).derive(self._key)

    def _what(self, path: Path) -> bytes:
        place = path.parent.resolve() / path.name
        # Beside the folder lies what a run keeps for its sites, and moves with them.
        return os.path.relpath(place, self.root).encode()


def open_vault(folder: Path, encrypt_with: str | None) -> Vault:
    """The vault of a folder.

    Args:
        folder: A site's, or a run's.
        encrypt_with: ``passphrase``, the path of a key file, or None for files as they are.

    Raises:
        SiteError: The secret does not open it; or the settings and the folder disagree.
    """
    exists = (folder / ENVELOPE).exists()
    if encrypt_with is None:
        if exists:
            message = f"{folder} is encrypted, and nothing says what opens it"
            raise SiteError(
                message, remedy="Say it by encrypt_with in site.toml, or --encrypt-with"
            )
        return OPEN
    if not exists:
        message = f"{folder} is not encrypted yet"
        raise SiteError(message, remedy=f"Run `medfed site encrypt {folder}`")
    return SealedVault(folder, open_envelope(folder, Secret.named(encrypt_with)))


def new_vault(folder: Path, secret: Secret) -> SealedVault:
    """Encrypt a folder from now on."""
    return SealedVault(folder, make_envelope(folder, secret))
