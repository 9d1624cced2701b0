"""A hospital's way out: an HTTP proxy that knows CONNECT only, and writes down who wanted where.

python connect_proxy.py PORT LOG
"""

import contextlib
import socket
import socketserver
import sys
import threading
from pathlib import Path


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on until one end is silent for good."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Handler(socketserver.StreamRequestHandler):
    """One connection."""

    def handle(self) -> None:
        """Connect, say so, and pass on both ways."""
        request = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        method, target = request[:2]
        with Path(sys.argv[2]).open("a") as log:
            log.write(f"{method} {target}\n")
        host, _, port = target.rpartition(":")
        try:
            server = socket.create_connection((host, int(port)), 20)
        except OSError:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with server:
            server.settimeout(None)
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=pump, args=(self.connection, server), daemon=True).start()
            pump(server, self.connection)


class Proxy(socketserver.ThreadingTCPServer):
    """All connections at once."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Proxy(("0.0.0.0", int(sys.argv[1])), Handler) as proxy:
        print("ready", flush=True)
        proxy.serve_forever()
