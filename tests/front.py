"""nginx with TLS before consoles, as deploy/nginx/console.conf has it."""

from __future__ import annotations

import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from integration.enrolling import free_port

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
AROUND = """
{user}
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


class Front:
    """An nginx on a port of its own, in a folder that is there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self._nginx: subprocess.Popen[bytes] | None = None

    def start(self, ports: Sequence[int]) -> None:
        """Stand before the consoles that listen there, and wait until one answers through it."""
        conf = self.folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # else it may not enter the tests' folders
        conf.write_text(AROUND.format(folder=self.folder, user=user))
        (self.folder / "console.conf").write_text(self._console_conf(ports))
        self._nginx = subprocess.Popen(["nginx", "-p", str(self.folder), "-c", str(conf)])
        answering(self.url)

    def stop(self) -> None:
        """End it, where it was started."""
        if self._nginx:
            self._nginx.terminate()
            self._nginx.wait()

    def on_disk(self) -> list[str]:
        """The files that it keeps open for what passes through it: their names are gone already."""
        assert self._nginx
        workers = Path(f"/proc/{self._nginx.pid}/task/{self._nginx.pid}/children").read_text()
        found = []
        for pid in workers.split():
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):  # closed meanwhile
                    found.append(str(handle.readlink()))
        places = (f"{self.folder}/body/", f"{self.folder}/proxy/")
        return [file for file in found if file.startswith(places)]

    def _console_conf(self, ports: Sequence[int]) -> str:
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
                f"    server 127.0.0.1:{port} max_fails=1 fail_timeout=2s;\n" for port in ports
            ),
            "    server 127.0.0.1:8702 max_fails=1 fail_timeout=2s;\n": "",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
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
        return text


@contextmanager
def behind(front: Front, *ports: int) -> Iterator[None]:
    """Consoles that listen there already, with nginx before them."""
    try:
        front.start(ports)
        yield
    finally:
        front.stop()


def unchecked() -> ssl.SSLContext:
    """TLS that takes the tests' own certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


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
    """The status of a page."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    how = {"context": unchecked()} if url.startswith("https") else {}
    try:
        with urllib.request.urlopen(request, timeout=10, **how) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        if error.code == 502:
            raise
        return error.code
