"""People for tests of accounts, pages and the API."""

from __future__ import annotations

from pathlib import Path

from medfed.services.accounts import Accounts, Identity
from medfed.services.accounts.passwords import Passwords
from medfed.services.accounts.roles import ROLES
from medfed.storage.database import Database

FAST = 4
"""bcrypt's least work factor: a thousand log-ins must not take minutes."""
PASSWORD = "seven quiet herons"
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
BREAST_CANCER = (EXAMPLES / "breast_cancer.toml").read_text("utf-8")
"""A study that needs no data folder and runs in seconds."""


def accounts_of(database: Database, passwords: Passwords | None = None) -> Accounts:
    """The accounts of a new console, with one user for each role, called like it."""
    own = passwords or Passwords(b"pepper of the tests", rounds=FAST)
    accounts = Accounts(database, own)
    accounts.begin()
    root = Identity(id=1, name="admin", rights=frozenset({"user.manage"}))
    for role in ROLES:
        user, _ = accounts.create(root, role, role.title(), [role])
        accounts._set_password(root, user, PASSWORD, must_change=False)
    return accounts


def identity(accounts: Accounts, name: str) -> Identity:
    """Somebody who has just logged in."""
    who = accounts.identify(accounts.log_in(name, PASSWORD))
    assert who is not None
    return who
