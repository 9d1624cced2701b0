"""The console as in production: PostgreSQL, gunicorn processes, nginx with TLS before them."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.enrolling import free_port

from medfed.services.console import Console

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
AROUND = """
daemon off;
worker_processes 1;
pid "{folder}/nginx.pid";
error_log "{folder}/nginx.log" warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    include /etc/nginx/mime.types;
    client_body_temp_path "{folder}/body";
    proxy_temp_path "{folder}/proxy";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";
    include "{folder}/console.conf";
}}
"""


class Production:
    """Processes of one console on ports of their own, and nginx before them."""

    def __init__(self, folder: Path, database: str, processes: int = 2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.console, self.database = folder, folder / "console", database
        self.ports = [free_port() for _ in range(processes)]
        self.door = free_port()
        self.url = f"https://127.0.0.1:{self.door}"
        self.environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "MEDFED_CONSOLE": str(self.console),
            "MEDFED_DATABASE": database, "MEDFED_URL": self.url, "MEDFED_DATA": str(folder),
        }  # fmt: skip
        self.gunicorns: dict[int, subprocess.Popen[bytes]] = {}
        self._nginx: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start everything, and wait until each part answers."""
        for port in self.ports:
            self.start_one(port)
        command = ["nginx", "-p", str(self.folder), "-c", str(self._nginx_conf())]
        self._nginx = subprocess.Popen(command)
        answering(self.url)

    def start_one(self, port: int) -> None:
        """Start one process of the console."""
        program = [sys.executable, "-m", "gunicorn", "--config", DEPLOY / "gunicorn" / "console.py"]
        where = ["--bind", f"127.0.0.1:{port}", "medfed.cli.serve:application()"]
        with (self.folder / f"gunicorn-{port}.log").open("ab") as said:
            self.gunicorns[port] = subprocess.Popen(
                [*program, *where], env=self.environment, stderr=said, start_new_session=True
            )
        answering(f"http://127.0.0.1:{port}", host=f"127.0.0.1:{self.door}")

    def kill_one(self, port: int) -> None:
        """As the kernel does when memory is short: without a word, the worker too."""
        process = self.gunicorns.pop(port)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End everything but the runs."""
        if self._nginx:
            self._nginx.terminate()
            self._nginx.wait()
        for port in list(self.gunicorns):
            self.kill_one(port)

    def first_password(self) -> str:
        """What whoever has the machine gives to admin, for one log-in."""
        console = Console.open(self.console, self.database)
        password = console.accounts.reset("admin")
        console.close()
        return password

    def logs(self) -> str:
        """What the processes said."""
        return "\n".join(each.read_text("utf-8") for each in self.folder.glob("*.log"))

    def _nginx_conf(self) -> Path:
        """The one in deploy/, with the ports and the certificate of this test."""
        pem, key = self.folder / "tls.pem", self.folder / "tls.key"
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
            " -subj /CN=console -addext subjectAltName=IP:127.0.0.1"
        )
        out = ["-keyout", str(key), "-out", str(pem)]
        subprocess.run([*command.split(), *out], check=True, capture_output=True)
        text = (DEPLOY / "nginx" / "console.conf").read_text("utf-8")
        changes = {
            "    server 127.0.0.1:8701 max_fails=1 fail_timeout=2s;\n": "".join(
                f"    server 127.0.0.1:{port} max_fails=1 fail_timeout=2s;\n" for port in self.ports
            ),
            "    server 127.0.0.1:8702 max_fails=1 fail_timeout=2s;\n": "",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.door} ssl;",
            "    listen [::]:443 ssl;\n": "",
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "    listen [::]:80;\n": "",
            "console.example.org": "_",
            "/etc/ssl/medfed/console.pem": str(pem),
            "/etc/ssl/private/medfed-console.key": str(key),
        }
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        (self.folder / "console.conf").write_text(text)
        conf = self.folder / "nginx.conf"
        conf.write_text(AROUND.format(folder=self.folder))
        return conf


@contextmanager
def in_production(folder: Path, database: str, processes: int = 2) -> Iterator[Production]:
    """A console in production that is started, and ended afterwards."""
    made = Production(folder, database, processes)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def answering(url: str, seconds: float = 60.0, host: str = "") -> None:
    """Wait until a console answers."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            status(f"{url}/healthz", host)
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return


def status(url: str, host: str = "") -> int:
    """The status of a page; the certificate is our own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    how = {"context": context} if url.startswith("https") else {}
    try:
        with urllib.request.urlopen(request, timeout=10, **how) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        if error.code == 502:
            raise
        return error.code
