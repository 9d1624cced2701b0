"""A coordinator for tests of joining: the true application, and TLS, proxies and trouble before it.

`TlsFront` stands where nginx stands. It pumps bytes, so that a test can lose an answer, show
another certificate or speak an older TLS.
"""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import ssl
import threading
from datetime import timedelta
from pathlib import Path

from medfed.federation.enrolment.app import enrolment_app
from medfed.federation.enrolment.folder import CoordinatorFolder, init_coordinator
from medfed.federation.enrolment.invites import invite
from medfed.federation.loopback_server import LoopbackServer

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Server(socketserver.ThreadingTCPServer):
    """Threads of its own, closed with `with`."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, handle) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    handle(self.request)

        super().__init__((HOST, port), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def __exit__(self, *about) -> None:
        self.shutdown()
        self.server_close()


def tls_front(port: int, pem: Path, backend: int, *, lose=False, most=ssl.TLSVersion.TLSv1_3):
    """TLS before a backend; with ``lose`` the requests arrive and the answers do not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = most
    context.load_cert_chain(pem)

    def handle(raw: socket.socket) -> None:
        raw.settimeout(20)
        with (
            context.wrap_socket(raw, server_side=True) as outside,
            socket.create_connection((HOST, backend)) as inside,
        ):
            request = _request(outside)
            inside.sendall(request)
            losing = lose and request.startswith(b"POST")
            while answer := inside.recv(65536):
                if not losing:
                    outside.sendall(answer)

    return Server(port, handle)


def connect_proxy(status: str = "200 OK", *, seen: list[str] | None = None):
    """An HTTP proxy that knows CONNECT only, and answers it with a status."""

    def handle(client: socket.socket) -> None:
        client.settimeout(20)
        head = _request(client).decode()
        if seen is not None:
            seen.append(head)
        client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        if not status.startswith("200"):
            return
        host, _, port = head.split()[1].rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            _pump(client, server)

    return Server(0, handle)


def deaf(port: int = 0):
    """Accepts and never says a word."""
    ended = threading.Event()

    class Deaf(Server):
        def __exit__(self, *about) -> None:
            ended.set()
            super().__exit__(*about)

    return Deaf(port, lambda _: ended.wait(20))


class Federation:
    """A coordinator on this machine, with the whole way to it."""

    def __init__(self, path: Path, host: str = "localhost") -> None:
        self.enrolled: list = []
        self.port = free_port()
        self.folder: CoordinatorFolder = init_coordinator(path, f"https://{host}:{self.port}")
        app = enrolment_app(self.folder, self.tell)
        self.server = LoopbackServer(app)

    def tell(self, site) -> None:
        self.enrolled.append(site)

    def invite(self, site: str = "hospital_b", hours: float = 48) -> str:
        return str(invite(self.folder, site, timedelta(hours=hours)))

    def front(self, **options):
        pem = options.pop("pem", self.folder.tls)
        return tls_front(self.port, pem, self.server.port, **options)

    def close(self) -> None:
        self.server.close()


def _request(connection: socket.socket) -> bytes:
    """One whole HTTP request."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65536)
        if not more:
            return got
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().splitlines() if b"length" in line), 0
    )
    while len(body) < length:
        more = connection.recv(65536)
        got, body = got + more, body + more
    return got


def _pump(one: socket.socket, other: socket.socket) -> None:
    while True:
        ready, _, _ = select.select([one, other], [], [], 20)
        for end in ready:
            data = end.recv(65536)
            if not data:
                return
            (other if end is one else one).sendall(data)
