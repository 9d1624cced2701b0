"""Opening a console's database: encrypted where the console lies in an encrypted site's folder."""

from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from medfed.core.vault import OPEN, Vault
from medfed.services.sites import site_vault
from medfed.storage.database import Database

EMBEDDED = "console.sqlite"


def open_database(url: str) -> Database:
    """The database that a URL names.

    Raises:
        RunError: The URL cannot be used.
        SiteError: What the site's settings name does not open its folder.
    """
    return Database(url, _vault_of(url))


def _vault_of(url: str) -> Vault:
    try:
        made = make_url(url)
    except ArgumentError:
        return OPEN  # complained of where it is opened
    if made.get_backend_name() != "sqlite" or not made.database:
        return OPEN
    file = Path(made.database)
    site = file.parent.parent
    inside = file.name == EMBEDDED and (site / "site.toml").exists()
    return site_vault(site) if inside else OPEN
