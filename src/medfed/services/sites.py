"""Opening a site from its folder: the one place where a site's parts are put together."""

import contextlib
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import overload

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from medfed.core.errors import SiteError
from medfed.core.files import write_atomic
from medfed.core.private_files import remember
from medfed.core.rehearsal import noised_facts
from medfed.core.vault import Vault
from medfed.federation.keys import load_key, load_public, make_key, public_pem
from medfed.federation.site import Site
from medfed.federation.site_folder import TRUST, SiteFolder, stored_study
from medfed.federation.site_settings import init_site
from medfed.privacy.accountant import LossAccountant
from medfed.privacy.at_rest.envelope import ENVELOPE, PASSPHRASE, VARIABLE, Secret
from medfed.privacy.at_rest.vault import new_vault, open_vault
from medfed.storage.ledger import LEDGER, SqliteLedger
from medfed.storage.ledger_head import REMEDY, head_beside

_OPENED: dict[object, Vault] = {}


def open_site(path: Path, data: Path | None = None) -> Site:
    """Open a site.

    Args:
        path: Its folder.
        data: Folder of its data; what its settings say when None.

    Raises:
        SiteError: The folder, its settings or its key are not in order.
    """
    settings = SiteFolder(path).settings()
    vault = site_vault(path)
    folder = SiteFolder(path, vault)
    trust = path / TRUST
    coordinator = load_public(trust) if trust.exists() else None
    if data is not None:
        settings = replace(settings, data=data)
    log = _own_log(path, settings.name, vault)
    return Site(folder, settings, load_key(path), coordinator, log, open_ledger(path, vault))


def site_vault(path: Path) -> Vault:
    """How private files of a site's folder lie there.

    Raises:
        SiteError: It is no site's folder, or what its settings name does not open it.
    """
    how = secret_place(path, SiteFolder(path).settings().encrypt_with)
    vault = _by_passphrase(path.resolve()) if how == PASSPHRASE else open_vault(path, how)
    remember(path, vault)
    return vault


def _by_passphrase(path: Path) -> Vault:
    """The vault of a folder that a passphrase opens, which takes a third of a second, once."""
    file = path / ENVELOPE
    about = file.stat() if file.exists() else None
    which = (about.st_ino, about.st_mtime_ns) if about else None
    given = (path, which, os.environ.get(VARIABLE))
    if given not in _OPENED:
        _OPENED[given] = open_vault(path, PASSPHRASE)
    return _OPENED[given]


def open_ledger(path: Path, vault: Vault | None = None) -> SqliteLedger:
    """A site's ledger; its file is made when something is first entered.

    Args:
        path: The site's folder.
        vault: Its vault, where it is open already.

    Raises:
        SiteError: It is gone with its head, and receipts say that there was one; or the settings
            name another site's folder, or none, for it.
    """
    settings = SiteFolder(path).settings()
    if settings.ledger is not None:
        place, owner = settings.ledger, SiteFolder(settings.ledger).settings()
        if owner.name != settings.name:
            message = f"{place} has the ledger of site {owner.name}, and not {settings.name}"
            raise SiteError(message, remedy="Correct ledger in site.toml")
        if owner.ledger is not None:  # this would pay into a file that nobody looks at
            message = f"the site in {place} pays elsewhere itself, in {owner.ledger}"
            raise SiteError(message, remedy="Name that folder as ledger in site.toml")
        path, vault = settings.ledger, None
    file = path / LEDGER
    vault = vault or site_vault(path)
    if not file.exists() and not head_beside(file).exists() and _paid_before(path, vault):
        message = f"{file} is gone, and the receipts say that this site took part in private work"
        raise SiteError(message, remedy=REMEDY)
    return SqliteLedger(path / LEDGER, LossAccountant(), vault)


def _paid_before(path: Path, vault: Vault) -> bool:
    """Whether a site trained in a study that was paid for from a ledger, by then at the latest."""
    receipts = SiteFolder(path, vault).receipts()
    trained = {one.get("study") for one in receipts if one.get("purpose") == "train"}
    studies = [stored_study(path / "approved" / f"{digest}.json") for digest in trained]
    return any(one.privacy or one.statistics or noised_facts(one) for one in studies if one)


def create_site(
    path: Path,
    name: str,
    data: Path | None,
    min_patients: int = 1,
    encrypt_with: str | None = None,
    ledger: Path | None = None,
) -> Site:
    """Make a site's folder with a fresh key, and open it.

    Args:
        path: Where.
        name: The site's name.
        data: Folder of its data.
        min_patients: With fewer it refuses.
        encrypt_with: ``passphrase`` or the path of a key file, for an encrypted folder.
        ledger: Folder of the site whose ledger pays; its own when None.
    """
    secret = None if encrypt_with is None else Secret.named(secret_place(path, encrypt_with))
    init_site(path, name, data, min_patients, encrypt_with, ledger)
    if secret is not None and not (path / ENVELOPE).exists():
        new_vault(path, secret)
    make_key(path)
    return open_site(path)


@overload
def secret_place(path: Path, encrypt_with: str) -> str: ...
@overload
def secret_place(path: Path, encrypt_with: None) -> None: ...
def secret_place(path: Path, encrypt_with: str | None) -> str | None:
    """What ``encrypt_with`` names, a relative path taken from the site's folder."""
    if encrypt_with is None or encrypt_with == PASSPHRASE or encrypt_with.startswith(("$", "~")):
        return encrypt_with
    return str(path / encrypt_with)


def trust(path: Path, coordinator: Ed25519PublicKey) -> None:
    """Pin the coordinator whose orders a site obeys."""
    write_atomic(path / TRUST, public_pem(coordinator))


class _SiteLog(logging.FileHandler):
    """A log whose own trouble (no space, no folder) never stops the site nor reaches a screen."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or lose it."""
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's own name
        """Stay silent: the default prints the record, which may hold patient data."""


class _SealedLines(logging.Formatter):
    """Records as lines sealed one by one: the traceback in them may hold a patient's data."""

    def __init__(self, form: str, vault: Vault) -> None:
        super().__init__(form)
        self._vault = vault

    def format(self, record: logging.LogRecord) -> str:
        """One record, one line."""
        return self._vault.line(super().format(record))


def _own_log(path: Path, name: str, vault: Vault) -> logging.Logger:
    """A log that stays in the site's folder: tracebacks may carry patient data."""
    log = logging.getLogger(f"medfed.site.{path.resolve()}")
    log.propagate = False
    if not log.handlers:
        handler = _SiteLog(path / "site.log", delay=True, encoding="utf-8")
        form = f"%(asctime)s {name} %(levelname)s %(message)s"
        handler.setFormatter(_SealedLines(form, vault))
        log.addHandler(handler)
    return log
