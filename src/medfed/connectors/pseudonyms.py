"""Other names for a site's patients and objects, made with a key that never leaves the site.

All are HMAC-SHA256 (RFC 2104) under one key: the same patient always has the same pseudonym at a
site, another one at another site, and whoever lacks the key can neither undo a pseudonym nor try
out guesses. Each purpose has its own prefix, so that no two uses give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
import unicodedata
import uuid
from typing import TYPE_CHECKING

from medfed.core.errors import DataError, SiteError
from medfed.core.vault import OPEN

if TYPE_CHECKING:
    from pathlib import Path

    from medfed.core.vault import Vault

KEY_FILE = "pseudonyms.key"
KEY_BYTES = 32
PREFIX, SCAN_PREFIX = "p-", "s-"
PSEUDONYM_BYTES = 10
LONGEST_SHIFT_DAYS = 3650


class Pseudonyms:
    """Keyed names and dates.

    Args:
        key: at least 32 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes; {KEY_BYTES} are the least")
        self._key = key

    def patient(self, identity: str) -> str:
        """The pseudonym of a patient: ``p-`` and sixteen of ``a-z2-7``, fit to name a folder.

        Args:
            identity: what the hospital calls the patient: the Patient ID, or a folder's name.
                Case, spaces around it and ways to write an accent do not matter.
        """
        digest = self._digest("patient", _same(identity))[:PSEUDONYM_BYTES]
        return PREFIX + base64.b32encode(digest).decode().lower()

    def scan(self, identity: str) -> str:
        """The name of a scan, fit to name a folder: ``s-`` and sixteen of ``a-z2-7``.

        Args:
            identity: the UID of its series, or a digest of its content.
        """
        digest = self._digest("scan", identity.strip("\0 "))[:PSEUDONYM_BYTES]
        return SCAN_PREFIX + base64.b32encode(digest).decode().lower()

    def days_earlier(self, identity: str) -> int:
        """By how many days a patient's dates move into the past: 1 to 3650, always the same."""
        digest = self._digest("dates", _same(identity))
        return 1 + int.from_bytes(digest[:8], "big") % LONGEST_SHIFT_DAYS

    def uid(self, uid: str) -> str:
        """Another UID for a DICOM UID, always the same: ``2.25.`` and a UUID (PS3.5, B.2).

        The UUID is of version 8, which leaves its bits to the maker (RFC 9562).
        """
        raw = bytearray(self._digest("uid", uid.strip("\0 "))[:16])
        raw[6] = raw[6] & 0x0F | 0x80
        raw[8] = raw[8] & 0x3F | 0x80
        return f"2.25.{uuid.UUID(bytes=bytes(raw)).int}"

    def content(self, sha256: str) -> str:
        """A keyed digest of an original file, by which it is known again and not otherwise."""
        return self._digest("content", sha256).hex()

    def fingerprint(self) -> str:
        """By what the key itself is known again; it tells nothing of the key."""
        return self._digest("key", "").hex()[:16]

    def _digest(self, purpose: str, text: str) -> bytes:
        message = f"medfed pseudonyms 1|{purpose}|{text}".encode()
        return hmac.new(self._key, message, hashlib.sha256).digest()


def open_pseudonyms(folder: Path, vault: Vault = OPEN) -> Pseudonyms:
    """The pseudonyms of a site; its key is made where there is none.

    Args:
        folder: the site's own folder, where the key lies, readable by its owner only.
        vault: how it lies there.

    Raises:
        SiteError: the key is damaged, or others than its owner may read it.
    """
    file = folder / KEY_FILE
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return Pseudonyms(_make(file, vault))
    except OSError as error:
        raise SiteError(f"{file} cannot be opened: {error.strerror}") from None
    with os.fdopen(handle, "rb") as opened:
        if stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o077:
            message = f"{file} can be read by others than its owner"
            raise SiteError(message, remedy=f"Find out who had it, then: chmod 600 {file}")
        text = opened.read(4096)
    try:
        key = bytes.fromhex(vault.opened_line(text.decode("ascii").strip(), KEY_FILE))
        return Pseudonyms(key)
    except (ValueError, DataError):
        message = f"{file} holds no key"
        raise SiteError(message, remedy="Restore it from a backup; never make a new one") from None


def _make(file: Path, vault: Vault) -> bytes:
    """A fresh key, whole on the disk before anything is made with it."""
    key = secrets.token_bytes(KEY_BYTES)
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(vault.line(key.hex(), KEY_FILE).encode() + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
        try:
            os.link(part, file)  # unlike a rename, it replaces no key that came in between
        except FileExistsError:
            message = f"{file} was made by another command just now"
            raise SiteError(message, remedy="Give the command again") from None
    except OSError as error:
        raise SiteError(f"{file} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return key


def _same(identity: str) -> str:
    """One spelling for a patient."""
    return unicodedata.normalize("NFKC", identity).casefold().strip("\0 \t\r\n")
