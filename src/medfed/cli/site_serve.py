"""``medfed site serve``: a hospital's console in a browser."""

from pathlib import Path
from typing import Any

import click

from medfed.cli.serving import Listening, listening, serve_console
from medfed.config import Settings

CONSOLE = "console"
"""The console's own folder, in the site's."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@listening(8701)
@click.pass_obj
def serve(settings: Settings, /, folder: Path, **given: Any) -> None:
    """Serve the hospital's console: its scans and tables, in a browser.

    FOLDER is the site's own. The console keeps its secrets and its database in FOLDER/console. The
    first start makes an administrator and prints the password once. Nothing here needs the
    coordinator.
    """
    from medfed.federation.site_folder import SiteFolder

    SiteFolder(folder).settings()  # before a console's folder is made in it
    where = Listening(**given)
    serve_console(settings, folder / CONSOLE, where, site=folder, coordinates=False)
