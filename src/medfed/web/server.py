"""Serving a console, with its runs looked after: by a server of its own, or for another one."""

import logging
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.serving import (
    LISTEN_QUEUE,
    BaseWSGIServer,
    WSGIRequestHandler,
    make_server,
    select_address_family,
)

from medfed.core.errors import RunError
from medfed.services.console import COORDINATOR, Console, Faces
from medfed.services.console.supervisor import Supervisor
from medfed.services.hospital.keeper import Keeper
from medfed.services.inference.recall import Recall
from medfed.services.neighbours import Neighbour
from medfed.web.app import create_app
from medfed.web.handbook import book
from medfed.web.options import WebOptions

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)
ANSWER = "medfed.answer"
SOON = 3.0
"""Seconds after its start in which a console answers before it reads its docs."""


def application(folder: Path, url: str = "", options: WebOptions | None = None) -> Flask:
    """A console for a server that manages its own processes, such as gunicorn.

    Several may share one folder and one database, on one machine.

    Args:
        folder: The console's folder.
        url: Of its database; the embedded one by default.
        options: How the console is reached.

    Raises:
        RunError: The folder or the database cannot be used.
    """
    console = Console.open(folder, url)
    if console.accounts.begin():  # the password is told to nobody: it would stay in the log
        log.warning("the user admin was made; for a password: medfed serve --reset-password admin")
    app = create_app(console, options)
    console.watch()
    Supervisor(console.database, console.place).start()
    read_docs_soon()
    return app


def read_docs_soon(seconds: float = SOON) -> threading.Timer:
    """Have the docs read before somebody asks for them, who would wait; not at once."""
    timer = threading.Timer(seconds, book)
    timer.name, timer.daemon = "docs", True
    timer.start()
    return timer


class _Quiet(WSGIRequestHandler):
    """Says nothing of each request, and not what it is written in."""

    server_version, sys_version = "medfed", ""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  # its name there
        """Keep silent."""

    def connection_dropped(
        self, error: BaseException, environ: "WSGIEnvironment | None" = None
    ) -> None:
        """Close what was being sent to somebody who is gone.

        Werkzeug reads what is left of the request before it closes the answer, and where that
        fails it never does: a file would stay open until it is collected.
        """
        close = getattr((environ or {}).get(ANSWER), "close", None)
        if close is not None:
            close()


def _kept(app: "WSGIApplication") -> "WSGIApplication":
    """The application; each answer is kept beside its request, to be closed."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ[ANSWER] = app(environ, start_response)
        made: Iterable[bytes] = environ[ANSWER]
        return made

    return answer


class Server:
    """A console that listens.

    Args:
        folder: The console's folder.
        url: Of its database; the embedded one by default.
        faces: What it shows.
        host: Address to listen on.
        port: Port; 0 for any that is free.
        options: How the console is reached.
        environment: More environment for the runs' processes.
        bcrypt_rounds: Work factor of the passwords; tests take less.

    Raises:
        RunError: The folder, the database or the port cannot be used.
        SiteError: ``faces.site`` is no site's folder.
    """

    def __init__(
        self,
        folder: Path,
        url: str = "",
        *,
        faces: Faces = COORDINATOR,
        host: str = "127.0.0.1",
        port: int = 0,
        options: WebOptions | None = None,
        environment: dict[str, str] | None = None,
        bcrypt_rounds: int = 12,
    ) -> None:
        self.console = Console.open(folder, url, faces=faces, bcrypt_rounds=bcrypt_rounds)
        self.app: Flask = create_app(self.console, options)
        try:
            self._server = _listen(self.app, host, port)
        except BaseException:
            self.console.close()
            raise
        # Only now: a password that nobody is shown would lock its owner out.
        self.password = self.console.accounts.begin(self.console.first_roles)
        self.port = self._server.port
        self._workers = _workers(self.console, environment)

    def serve(self, ready: Callable[[], None] = lambda: None) -> None:
        """Answer until `stop` is called or Ctrl-C comes; runs under way go on afterwards."""
        self.console.watch()
        for worker in self._workers:
            worker.start()
        ready()
        reader = read_docs_soon()
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            reader.cancel()
            for worker in self._workers:
                worker.stop()
            self._server.server_close()
            follower = self.app.extensions.get("medfed-follower")
            if follower is not None:  # one without pages is false
                follower.stop()
            self.console.close()

    def introduce(self, neighbours: Sequence[Neighbour]) -> None:
        """Have the pages lead to other consoles."""
        self.app.extensions["medfed-neighbours"] = tuple(neighbours)

    def stop(self) -> None:
        """Have `serve` return; from another thread."""
        threading.Thread(target=self._server.shutdown).start()


def _workers(
    console: Console, environment: dict[str, str] | None
) -> list[Supervisor | Keeper | Recall]:
    """Who has done what pages ask for: runs of a coordinator, jobs of a hospital."""
    found: list[Supervisor | Keeper | Recall] = []
    if console.coordinates:
        found.append(Supervisor(console.database, console.place, environment=environment))
    if console.hospital:
        found.append(Keeper(console.database, console.place.path, console.hospital))
    if console.desk:
        found.append(console.desk.recall)
    return found


def _listen(app: Flask, host: str, port: int) -> BaseWSGIServer:
    family = select_address_family(host, port)
    try:
        listener = socket.create_server((host, port), family=family, backlog=LISTEN_QUEUE)
    except (OSError, OverflowError) as error:
        raise RunError(
            f"{host}:{port} cannot be listened on: {getattr(error, 'strerror', None) or error}",
            remedy="Choose another --port, or end what listens there",
        ) from error
    with listener:  # the server takes a handle of its own
        return make_server(
            host,
            port,
            _kept(app),
            threaded=True,
            request_handler=_Quiet,
            fd=listener.fileno(),
        )
