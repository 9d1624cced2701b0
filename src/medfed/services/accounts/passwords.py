"""Passwords: which are good enough, and how they are kept."""

import gzip
import hmac
import re
import secrets
from base64 import b64encode
from functools import cache
from importlib.resources import files

import bcrypt

from medfed.core.errors import AccessError
from medfed.services.greenlets import apart

SHORTEST, LONGEST = 12, 200
ROUNDS = 12
"""Work factor of bcrypt: a quarter of a second."""
_TAIL = re.compile(r"[\d\W_]+$")


class Passwords:
    """Hashes and checks passwords.

    Args:
        pepper: A secret that is kept outside the database, so that the database alone is worth
            nothing to whoever steals it.
        rounds: Work factor.
    """

    def __init__(self, pepper: bytes, rounds: int = ROUNDS) -> None:
        self._pepper = pepper
        self._rounds = rounds
        self._nobody = self.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """The hash to keep."""
        return apart(bcrypt.hashpw, self._short(password), bcrypt.gensalt(self._rounds)).decode()

    def check(self, password: str, kept: str | None) -> bool:
        """Whether it is the password; takes as long where there is nobody to compare with."""
        right = apart(bcrypt.checkpw, self._short(password), (kept or self._nobody).encode())
        return right and kept is not None

    def _short(self, password: str) -> bytes:
        """Any password in 44 bytes: bcrypt takes 72 at most, and none that are zero."""
        return b64encode(hmac.digest(self._pepper, password.encode(), "sha256"))


def check_strength(password: str, name: str) -> None:
    """Refuse a password that is short, well known, or the user's own name.

    Raises:
        AccessError: With what is wrong with it.
    """
    remedy = "Take several words that do not belong together"
    lowered = password.lower()
    if len(password) < SHORTEST:
        raise AccessError(f"a password has at least {SHORTEST} characters", remedy=remedy)
    if len(password) > LONGEST:
        raise AccessError(f"a password has at most {LONGEST} characters", remedy="Shorten it")
    if lowered in common() or _TAIL.sub("", lowered) in common() or len(set(lowered)) < 5:
        raise AccessError("this password is among those that are tried first", remedy=remedy)
    if name.lower() in lowered:
        raise AccessError("the password contains the user name", remedy=remedy)


def generate() -> str:
    """A random password that can be read out: 80 bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    groups = ("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))
    return "-".join(groups)


@cache
def common() -> frozenset[str]:
    """The passwords that are tried first (R. Williams' list of 20,000, as Django ships it)."""
    packed = (files("medfed.services.accounts") / "common-passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode().split())
