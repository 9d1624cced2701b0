"""The console as in production: PostgreSQL, gunicorn processes, nginx with TLS before them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from front import DEPLOY, Front, answering
from integration.enrolling import free_port

from medfed.services.console import Console


class Production:
    """Processes of one console on ports of their own, and nginx before them."""

    def __init__(self, folder: Path, database: str, processes: int = 2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.console, self.database = folder, folder / "console", database
        self.ports = [free_port() for _ in range(processes)]
        self.front = Front(folder)
        self.url = self.front.url
        self.environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "MEDFED_CONSOLE": str(self.console),
            "MEDFED_DATABASE": database, "MEDFED_URL": self.url, "MEDFED_DATA": str(folder),
        }  # fmt: skip
        self.gunicorns: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start everything, and wait until each part answers."""
        for port in self.ports:
            self.start_one(port)
        self.front.start(self.ports)

    def start_one(self, port: int) -> None:
        """Start one process of the console."""
        program = [sys.executable, "-m", "gunicorn", "--config", DEPLOY / "gunicorn" / "console.py"]
        where = ["--bind", f"127.0.0.1:{port}", "medfed.cli.serve:application()"]
        with (self.folder / f"gunicorn-{port}.log").open("ab") as said:
            self.gunicorns[port] = subprocess.Popen(
                [*program, *where], env=self.environment, stderr=said, start_new_session=True
            )
        answering(f"http://127.0.0.1:{port}", host=f"127.0.0.1:{self.front.port}")

    def kill_one(self, port: int) -> None:
        """As the kernel does when memory is short: without a word, the worker too."""
        process = self.gunicorns.pop(port)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End everything but the runs."""
        self.front.stop()
        for port in list(self.gunicorns):
            self.kill_one(port)

    def first_password(self) -> str:
        """What whoever has the machine gives to admin, for one log-in."""
        with closing(Console.open(self.console, self.database)) as console:
            return console.accounts.reset("admin")

    def logs(self) -> str:
        """What the processes said."""
        return "\n".join(each.read_text("utf-8") for each in self.folder.glob("*.log"))


@contextmanager
def in_production(folder: Path, database: str, processes: int = 2) -> Iterator[Production]:
    """A console in production that is started, and ended afterwards."""
    made = Production(folder, database, processes)
    try:
        made.start()
        yield made
    finally:
        made.stop()
