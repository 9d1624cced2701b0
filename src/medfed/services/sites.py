"""Opening a site from its folder: the one place where a site's parts are put together."""

import contextlib
import logging
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from medfed.core.files import write_atomic
from medfed.federation.keys import load_key, load_public, make_key, public_pem
from medfed.federation.site import Site
from medfed.federation.site_folder import TRUST, SiteFolder, init_site
from medfed.privacy.accountant import LossAccountant
from medfed.storage.ledger import LEDGER, SqliteLedger


def open_site(path: Path, data: Path | None = None) -> Site:
    """Open a site.

    Args:
        path: Its folder.
        data: Folder of its data; what its settings say when None.

    Raises:
        SiteError: The folder, its settings or its key are not in order.
    """
    folder = SiteFolder(path)
    trust = path / TRUST
    coordinator = load_public(trust) if trust.exists() else None
    settings = folder.settings()
    if data is not None:
        settings = replace(settings, data=data)
    log = _own_log(path, settings.name)
    return Site(folder, settings, load_key(path), coordinator, log, open_ledger(path))


def open_ledger(path: Path) -> SqliteLedger:
    """The ledger in a site's folder; its file is made when something is first entered."""
    return SqliteLedger(path / LEDGER, LossAccountant())


def create_site(path: Path, name: str, data: Path | None, min_patients: int = 1) -> Site:
    """Make a site's folder with a fresh key, and open it."""
    init_site(path, name, data, min_patients)
    make_key(path)
    return open_site(path)


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


def _own_log(path: Path, name: str) -> logging.Logger:
    """A log that stays in the site's folder: tracebacks may carry patient data."""
    log = logging.getLogger(f"medfed.site.{path.resolve()}")
    log.propagate = False
    if not log.handlers:
        handler = _SiteLog(path / "site.log", delay=True, encoding="utf-8")
        form = f"%(asctime)s {name} %(levelname)s %(message)s"
        handler.setFormatter(logging.Formatter(form))
        log.addHandler(handler)
    return log
