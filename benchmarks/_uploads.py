"""Sending a large file to a hospital's console, beside a sink that only writes it down.

Both stand behind the same server, Werkzeug's, each in a process of its own, and are sent the same
bytes in turns by the same client. The sink writes what comes into a file and flushes it. Both keep
what they got: a file written over again takes its pages from the one before, which is faster.
"""

import base64
import http.client
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _common import MIB, Row, row

BLOCK = os.urandom(MIB)
OWN = "nine brown foxes run"


def upload_rows(quick: bool) -> list[Row]:
    """A file of 500 MB by TUS."""
    medfed = [sys.executable, "-m", "medfed"]
    said = subprocess.run([*medfed, "serve", "--help"], capture_output=True, text=True, check=True)
    if "--site" not in said.stdout:
        print("This version has no hospital's console: uploads are left out", file=sys.stderr)
        return []
    blocks, turns = (50, 1) if quick else (500, 3)
    with tempfile.TemporaryDirectory(prefix="medfed-uploads-") as name:
        folder, port, other = Path(name), free_port(), free_port()
        init = [*medfed, "site", "init", str(folder / "north")]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
        serve = [*medfed, "serve", "--data", str(folder / "console"), "--port", str(port)]
        sink = [sys.executable, __file__, str(other), str(folder / "sink")]
        with begun([*serve, "--site", str(folder / "north")]) as console, begun(sink) as plain:
            page = Page(port, password=console.said[1].rsplit(maxsplit=1)[-1])
            page.send(4)
            before, ours, theirs = console.peak(), [], []
            for _ in range(turns):
                theirs.append(post(other, blocks))
                ours.append(page.send(blocks))
            grown = console.peak() - before
            del plain
    share = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    speed = blocks * MIB / 1e6 / statistics.median(ours)
    size = f"{blocks * MIB / 1e6:.0f} MB"
    return [
        row(f"Upload of {size} by TUS, share of a sink's speed", share, "×", 0.6, "higher"),
        row(f"Upload of {size} by TUS", speed, "MB/s", None, "higher"),
        row(f"Memory that the console grew by in {turns} of them", grown / MIB, "MiB", 32.0),
    ]


class Process:
    """A server in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        self.pid = process.pid
        self.said = [process.stdout.readline() for _ in range(2)]

    def peak(self) -> int:
        """The most memory it ever had, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024


@contextmanager
def begun(command: list[str]) -> Iterator[Process]:
    """A server that has said that it listens."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield Process(process)
        process.terminate()


class Page:
    """A browser in which the first administrator is logged in."""

    def __init__(self, port: int, password: str) -> None:
        self.port = port
        self.headers = {"Tus-Resumable": "1.0.0"}
        self._form("/login", name="admin", password=password)
        self._form("/password", old=password, new=OWN, again=OWN)
        self.headers["X-CSRFToken"] = self._token("/profile/")

    def send(self, blocks: int) -> float:
        """Seconds that it takes to send a file."""
        _, text = self._ask("POST", "/api/v1/imports", b"{}", {"Content-Type": "application/json"})
        found = re.search(r'"id":\s*"([^"]+)"', text)
        assert found, text
        names = {"filename": "scan.nii", "import": found[1]}
        about = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in names.items())
        length = {"Upload-Length": str(blocks * MIB), "Upload-Metadata": about}
        answer, text = self._ask("POST", "/api/v1/uploads", b"", length)
        assert answer.status == 201, text
        where = str(answer.getheader("Location"))
        kind = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        start = time.perf_counter()
        answer, text = self._ask("PATCH", where, blocks, kind)
        assert answer.status == 204, text
        return time.perf_counter() - start

    def _form(self, path: str, **fields: str) -> None:
        from urllib.parse import urlencode

        body = urlencode({**fields, "csrf_token": self._token(path)}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer, text = self._ask("POST", path, body, kind)
        assert answer.status == 302, text

    def _token(self, path: str) -> str:
        _, text = self._ask("GET", path, b"", {})
        found = re.search(r'name="csrf-token" content="([^"]+)"', text)
        assert found, text
        return found[1]

    def _ask(
        self, method: str, path: str, body: bytes | int, more: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, str]:
        answer, text = ask(self.port, method, path, body, {**self.headers, **more})
        if cookie := answer.getheader("Set-Cookie"):
            self.headers["Cookie"] = cookie.partition(";")[0]
        return answer, text


def ask(
    port: int, method: str, path: str, body: bytes | int, headers: dict[str, str]
) -> tuple[http.client.HTTPResponse, str]:
    """Send a request; a number is that many blocks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    content: Any = body if isinstance(body, bytes) else (BLOCK for _ in range(body))
    length = len(body) if isinstance(body, bytes) else body * MIB
    connection.request(method, path, content, {**headers, "Content-Length": str(length)})
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer, text


def post(port: int, blocks: int) -> float:
    """Seconds that it takes to send the same to the sink."""
    start = time.perf_counter()
    answer, text = ask(port, "POST", "/", blocks, {})
    assert answer.status == 204, text
    return time.perf_counter() - start


def free_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve_sink(port: int, folder: Path) -> None:
    """Write down whatever comes."""
    import logging

    from werkzeug.serving import make_server

    folder.mkdir()
    names = itertools.count()

    def sink(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        left = int(environ["CONTENT_LENGTH"])
        with (folder / str(next(names))).open("wb") as out:
            while left and (some := environ["wsgi.input"].read(min(MIB, left))):
                out.write(some)
                left -= len(some)
            out.flush()
            os.fsync(out.fileno())
        start_response("204 No Content", [])
        return []

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", port, sink, threaded=True)
    print("ready\nready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve_sink(int(sys.argv[1]), Path(sys.argv[2]))
