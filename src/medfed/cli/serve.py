"""``medfed serve``: the console in a browser; and the same for gunicorn."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from medfed.cli.logs import set_up_logs
from medfed.cli.signals import ending_on_sigterm
from medfed.config import Settings

if TYPE_CHECKING:
    from flask import Flask


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8700,
    show_default=True,
    help="0: any free one.",
)
@click.option(
    "--database", help="URL of its database (MEDFED_DATABASE); else a file in the folder."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="The console's folder (MEDFED_CONSOLE; else console): secrets, runs, logs, database.",
)
@click.option(
    "--url", help="What people type, where a proxy with TLS stands before this (MEDFED_URL)."
)
@click.option("--reset-password", metavar="USER", help="Give USER a new password, and end.")
@click.pass_obj
def serve(  # one argument per option
    settings: Settings,
    host: str,
    port: int,
    database: str | None,
    data: Path | None,
    url: str | None,
    reset_password: str | None,
) -> None:
    """Serve the console: studies, live runs, models, users and the record, in a browser.

    The first start makes an administrator and prints the password once. Runs are processes of their
    own: they go on when this one ends, and are picked up where they were when it starts again.
    """
    set_up_logs(settings)
    from medfed.web.options import WebOptions
    from medfed.web.server import Server  # imports Flask and SQLAlchemy

    database, data = database or settings.database, data or settings.console
    url = settings.url if url is None else url
    if reset_password:
        from medfed.services.console import Console

        password = Console.open(data, database).accounts.reset(reset_password)
        click.echo(f"New password of {reset_password}, for one log-in: {password}")
        return
    server = Server(data, database, host=host, port=port, options=WebOptions(url=url))

    def ready() -> None:
        click.echo(f"The console is at {url or f'http://{host}:{server.port}'}")
        if server.password:
            click.echo(f"Log in as admin with this password, shown only now: {server.password}")

    with ending_on_sigterm():
        try:
            server.serve(ready)
        except KeyboardInterrupt:
            click.echo("\nThe console is closed. Runs under way go on by themselves.", err=True)


def application() -> "Flask":
    """The console for a server of its own: ``gunicorn "medfed.cli.serve:application()"``.

    What it needs stands in the environment, see `medfed.config.Settings`.
    """
    settings = Settings.read()
    set_up_logs(settings)
    from medfed.web.options import WebOptions
    from medfed.web.server import application as made

    return made(settings.console, settings.database, WebOptions(url=settings.url))
