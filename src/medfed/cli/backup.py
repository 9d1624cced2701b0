"""``medfed backup`` and ``medfed restore``: the console's database as plain files, and back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medfed.config import Settings
from medfed.core.errors import RunError

if TYPE_CHECKING:
    from medfed.storage.database import Database

OF_DATABASE = click.option(
    "--database",
    help="URL of the database (MEDFED_DATABASE); else the one in the folder.",
)
OF_FOLDER = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="The console's folder (MEDFED_CONSOLE; else console).",
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@OF_DATABASE
@OF_FOLDER
@click.pass_obj
def backup(
    settings: Settings, folder: Path | None, database: str | None, data: Path | None
) -> None:
    """Write the console's database into FOLDER, while the console goes on.

    Sessions and tokens are not in it. Passwords are, as hashes that are worth nothing without
    secrets.json of the console's folder: keep a copy of that file elsewhere.

    The files lie open, also those of a console whose folder is encrypted.
    """
    from medfed.services.console_database import open_database
    from medfed.storage.database.backup import back_up

    target = folder or Path(f"console-backup-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    opened = open_database(_url(settings, database, data))
    try:
        manifest = back_up(opened, target)
        _recorded(opened, "console.backup", f"folder {target.name}")
    finally:
        opened.close()
    rows = sum(each["rows"] for each in manifest["tables"].values())
    click.echo(f"{rows} rows of {len(manifest['tables'])} tables are in {target}")
    click.echo("They are not encrypted: keep them where nobody else reads them.", err=True)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@OF_DATABASE
@OF_FOLDER
@click.pass_obj
def restore(settings: Settings, folder: Path, database: str | None, data: Path | None) -> None:
    """Fill an empty database from the backup in FOLDER, before the console's first start."""
    from medfed.services.console.place import SECRETS, Place
    from medfed.services.console_database import open_database
    from medfed.storage.database.backup import restore as fill

    place = data or settings.console
    kept = (place / SECRETS).exists()
    opened = open_database(database or settings.database or Place.open(place).database_url)
    try:
        manifest = fill(opened, folder)
        _recorded(opened, "console.restore", f"folder {folder.name}", manifest["at"])
    finally:
        opened.close()
    rows = sum(each["rows"] for each in manifest["tables"].values())
    click.echo(f"{rows} rows, as of {manifest['at'][:19]} UTC, are in the database")
    click.echo("People log in anew; programs need new tokens.")
    if not kept:
        click.echo(
            f"{place / SECRETS} was not there: put the old one in its place, or no password counts",
            err=True,
        )


def _recorded(database: "Database", action: str, subject: str, as_of: str = "") -> None:
    """Have the console's own record say who did it."""
    from medfed.services.audit import record
    from medfed.services.machine_acts import whoever

    with database.write() as session:
        reason = f"as of {as_of[:19]} UTC" if as_of else ""
        record(session, whoever(), action, subject, reason=reason)


def _url(settings: Settings, database: str | None, data: Path | None) -> str:
    from medfed.services.console.place import SECRETS, Place

    if url := database or settings.database:
        return url
    place = data or settings.console
    if not (place / SECRETS).exists():
        message = f"there is no console in {place}"
        raise RunError(message, remedy="Name its folder with --data, or its database")
    return Place.open(place).database_url
