"""``medfed serve``: the console in a browser; and the same for gunicorn."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfed.cli.logs import set_up_logs
from medfed.cli.serving import Listening, listening, serve_console
from medfed.config import Settings

if TYPE_CHECKING:
    from flask import Flask


@click.command()
@listening(8700)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="The console's folder (MEDFED_CONSOLE; else console): secrets, runs, logs, database.",
)
@click.option(
    "--site",
    type=click.Path(path_type=Path, file_okay=False),
    help="A hospital's own folder on this machine, to show its data too.",
)
@click.option(
    "--federation",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of a coordinator on this machine (medfed coordinator init): its hospitals are "
    "shown and invited, and studies can run there.",
)
@click.pass_obj
def serve(
    settings: Settings,
    /,
    data: Path | None,
    site: Path | None,
    federation: Path | None,
    **given: Any,
) -> None:
    """Serve the console: studies, live runs, models, users and the record, in a browser.

    The first start makes an administrator and prints the password once. Runs are processes of their
    own: they go on when this one ends, and are picked up where they were when it starts again.
    """
    where = Listening(**given)
    folder = data or settings.console
    serve_console(settings, folder, where, site=site, federation=federation, coordinates=True)


def application() -> "Flask":
    """The console for a server of its own: ``gunicorn "medfed.cli.serve:application()"``.

    What it needs stands in the environment, see `medfed.config.Settings`.
    """
    settings = Settings.read()
    set_up_logs(settings)
    from medfed.web.options import WebOptions
    from medfed.web.server import application as made

    return made(settings.console, settings.database, WebOptions(url=settings.url))
