"""What `medfed serve` and `medfed site serve` share."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfed.cli.logs import set_up_logs
from medfed.cli.signals import ending_on_sigterm
from medfed.config import Settings

if TYPE_CHECKING:
    from medfed.services.console import Console, Faces
    from medfed.web.server import Server

Command = Callable[..., Any]


@dataclass(frozen=True)
class Listening:
    """Where a console listens and what it keeps: the options that both commands have."""

    host: str
    port: int
    database: str | None
    url: str | None
    reset_password: str | None


def listening(port: int) -> Callable[[Command], Command]:
    """Those options for a command; ``port`` is the default."""
    options = (
        click.option(
            "--host", default="127.0.0.1", show_default=True, help="Address to listen on."
        ),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=port,
            show_default=True,
            help="0: any free one.",
        ),
        click.option(
            "--database", help="URL of its database (MEDFED_DATABASE); else a file in the folder."
        ),
        click.option(
            "--url",
            help="What people type, where a proxy with TLS stands before this (MEDFED_URL).",
        ),
        click.option("--reset-password", metavar="USER", help="Give USER a new password, and end."),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def serve_console(
    settings: Settings,
    folder: Path,
    where: Listening,
    *,
    site: Path | None,
    coordinates: bool,
    federation: Path | None = None,
) -> None:
    """Serve a console until it is stopped, or give a user a new password.

    Args:
        settings: The environment's.
        folder: The console's folder.
        where: Where it listens.
        site: A hospital's own folder, for its face.
        coordinates: Whether to show the coordinator's face.
        federation: Folder of a coordinator on this machine, where there is one.
    """
    set_up_logs(settings)
    from medfed.services import machine_acts
    from medfed.services.console import Console, Faces
    from medfed.web.options import WebOptions
    from medfed.web.server import Server  # imports Flask and SQLAlchemy

    database = where.database or settings.database
    url = settings.url if where.url is None else where.url
    if name := where.reset_password:
        with closing(Console.open(folder, database)) as console:
            password = console.accounts.reset(name, by=machine_acts.whoever())
        click.echo(f"New password of {name}, for one log-in: {password}")
        return
    server = Server(
        folder,
        database,
        faces=Faces(site, coordinates, federation),
        host=where.host,
        port=where.port,
        options=WebOptions(url=url),
    )

    if site is not None:
        _warn_of_what_lies_open(site, server.console)

    def ready() -> None:
        click.echo(f"The console is at {url or f'http://{where.host}:{server.port}'}")
        if server.password:
            click.echo(f"Log in as admin with this password, shown only now: {server.password}")

    with ending_on_sigterm():
        try:
            server.serve(ready)
        except KeyboardInterrupt:
            after = "Runs under way go on by themselves."
            if not coordinates:
                after = "Jobs under way begin again with the next start."
            click.echo(f"\nThe console is closed. {after}", err=True)


def _warn_of_what_lies_open(site: Path, console: "Console") -> None:
    """An encrypted site's console that is elsewhere keeps patients' names as they are."""
    from medfed.federation.site_folder import SiteFolder
    from medfed.services.consoles_of import outside

    if SiteFolder(site).settings().encrypt_with is None:
        return
    for place in outside(site, console.place.path, console.database.url):
        click.echo(
            f"Warning: {site} is encrypted, and {place}, where this console keeps what people do "
            f"here, is not. Serve it by medfed site serve {site}, or keep it on an encrypted disk",
            err=True,
        )


@contextmanager
def served(
    folder: Path, faces: "Faces", port: int, environment: dict[str, str]
) -> Iterator["Server"]:
    """A console that is served, on this machine only, while its caller does something else.

    Args:
        folder: The console's folder.
        faces: What it shows.
        port: Where it listens; 0 for any that is free.
        environment: More environment for the runs' processes.
    """
    from medfed.web.server import Server

    server, ready = (
        Server(folder, faces=faces, port=port, environment=environment),
        threading.Event(),
    )
    thread = threading.Thread(target=server.serve, args=(ready.set,), name="server", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
