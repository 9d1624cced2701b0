"""``medfed serve``: the console in a browser."""

from pathlib import Path
from typing import Any

import click

from medfed.cli.serving import Listening, listening, serve_console
from medfed.config import Settings


@click.command()
@listening(8700)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("console"),
    show_default=True,
    help="The console's folder: secrets, runs, logs, the embedded database.",
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
    settings: Settings, /, data: Path, site: Path | None, federation: Path | None, **given: Any
) -> None:
    """Serve the console: studies, live runs, models, users and the record, in a browser.

    The first start makes an administrator and prints the password once. Runs are processes of their
    own: they go on when this one ends, and are picked up where they were when it starts again.
    """
    where = Listening(**given)
    serve_console(settings, data, where, site=site, federation=federation, coordinates=True)
