"""A site's log: every reply that left and every order that was refused, hashed and signed.

::

    audit/entries.jsonl     an entry a line
    audit/checkpoint        the signed head of the Merkle tree over them
    audit/salt.key          what makes commitments; stays at the site, readable by its owner only

An entry's signature is the one under the checkpoint of the log that ends with it: it holds for all
that came before. What an entry holds is a *commitment*: SHA-256 of a salt and the record itself. So
an entry may be shown to anybody; what it stands for shows only to those whom the site gives the
record and its salt. No entry holds a count, a name of a tensor or a patient. In an encrypted folder
entries and the secret of the salts are sealed all the same: together with guesses at receipts they
would tell which are right. The checkpoint lies open.
"""

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medfed.core.errors import DataError
from medfed.core.files import canonical_json
from medfed.core.private_lines import append_private, read_private
from medfed.core.vault import OPEN, Vault
from medfed.federation.audit.merkle import Frontier, leaf_hash
from medfed.federation.audit.note import Checkpoint, note_of

FOLDER, ENTRIES, CHECKPOINT, SALT = "audit", "entries.jsonl", "checkpoint", "salt.key"
SEALED_AS = f"{FOLDER}/{ENTRIES}"
"""What the lines of the entries are, for whoever seals them."""

Record = Mapping[str, Any]
"""What is logged: a receipt or a refusal, as the site keeps it."""


class AuditLog:
    """The log of one site; made with its first entry.

    Args:
        folder: The site's folder.
        site: Its name.
        key: Its key.
        records: All receipts that the site keeps: a power cut may have taken the entries of the
            latest, which are made again.
        vault: How entries lie there.
    """

    def __init__(
        self,
        folder: Path,
        site: str,
        key: Ed25519PrivateKey,
        records: Iterable[Record] = (),
        vault: Vault = OPEN,
    ) -> None:
        self._folder, self._vault = folder / FOLDER, vault
        self._site, self._key = site, key
        self._folder.mkdir(exist_ok=True)
        self._salt = _salt_key(folder, vault)
        self._tree = Frontier()
        self._known: set[str] = set()
        self._reopen()
        for record in records:
            self.add("receipt", record)

    def add(self, kind: str, record: Record) -> None:
        """Log a record, unless it is there.

        Not flushed: the receipt is, and its entry is made again from it should the power fail.

        Args:
            kind: ``receipt``, which is committed to and kept elsewhere; or ``refusal``, which holds
                nothing private and stands in the entry itself.
            record: As it is kept; plain data.
        """
        commitment = commitment_of(record, self._salt)
        if commitment in self._known:
            return
        entry = {
            "index": self._tree.size,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "site": self._site,
            "kind": kind,
            "commitment": commitment,
            **({"record": dict(record)} if kind == "refusal" else {}),
        }
        self._grow(entry)
        signature = self._key.sign(self._head().text().encode())
        signed = {**entry, "signature": signature.hex()}
        append_private(self._folder / ENTRIES, signed, self._vault, SEALED_AS, durable=False)
        self._point(signature)

    def _reopen(self) -> None:
        """Take up the entries that are there, if they are what was signed."""
        file, signature = self._folder / ENTRIES, b""
        try:
            for entry in read_private(file, self._vault, SEALED_AS):
                self._grow(entry)
                signature = bytes.fromhex(entry["signature"])
            if self._tree.size:
                self._key.public_key().verify(signature, self._head().text().encode())
                self._point(signature)
        except (AttributeError, InvalidSignature, KeyError, TypeError, ValueError):
            message, remedy = f"{file} is damaged or was changed", "Restore it from a backup"
            raise DataError(message, remedy=remedy) from None

    def _grow(self, entry: Mapping[str, Any]) -> None:
        self._tree.add(leaf_of(entry))
        self._known.add(str(entry.get("commitment")))

    def _head(self) -> Checkpoint:
        return Checkpoint(origin(self._site), self._tree.size, self._tree.root())

    def _point(self, signature: bytes) -> None:
        """Write the checkpoint, over the one before: what is lost of it the entries restore."""
        head = self._head()
        note = note_of(head.text(), head.origin, self._key.public_key(), signature).encode()
        handle = os.open(self._folder / CHECKPOINT, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(handle, note, 0)
            os.ftruncate(handle, len(note))
        finally:
            os.close(handle)


def origin(site: str) -> str:
    """The name of a site's log, and of the key that signs it."""
    return f"medfed/{site}"


def leaf_of(entry: Mapping[str, Any]) -> bytes:
    """The leaf hash of an entry; its signature is over the tree with this leaf in it."""
    return leaf_hash(canonical_json({k: v for k, v in entry.items() if k != "signature"}))


def commitment_of(record: Record, salt_key: bytes) -> str:
    """What an entry says of a record: SHA-256 of a salt and of the record's canonical JSON."""
    text = canonical_json(record)
    return hashlib.sha256(salt_of(text, salt_key) + text).hexdigest()


def salt_of(text: bytes, salt_key: bytes) -> bytes:
    """The salt of one record's JSON: follows from the site's secret, so it need not be kept."""
    return hmac.digest(salt_key, text, "sha256")


def entries_of(folder: Path, vault: Vault = OPEN) -> list[Any]:
    """The entries of a site's log.

    Raises:
        DataError: One is damaged.
    """
    return read_private(folder / FOLDER / ENTRIES, vault, SEALED_AS)


def salt_key_of(folder: Path, vault: Vault = OPEN) -> bytes:
    """The secret of a site's commitments.

    Raises:
        DataError: It is missing or damaged.
    """
    file = folder / FOLDER / SALT
    try:
        blob = vault.read(file) if vault.seals(file) else file.read_bytes()
        key = bytes.fromhex(json.loads(blob))
    except (OSError, ValueError, TypeError, DataError):
        key = b""
    if len(key) != 32:
        raise DataError(f"{file} is missing or damaged", remedy="Restore it from a backup")
    return key


def _salt_key(folder: Path, vault: Vault) -> bytes:
    """The same; made where there is none, by one process alone."""
    file = folder / FOLDER / SALT
    handle = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not file.exists():
            vault.write(file, json.dumps(secrets.token_hex(32)).encode())
    finally:
        os.close(handle)
    return salt_key_of(folder, vault)
