"""Fetching, from a real web server on this machine."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from medfed.connectors import fetch as module
from medfed.connectors.fetch import CATALOGUE, DataSet, RemoteFile, fetch
from medfed.core.errors import DataError

CONTENT = {"one.data": b"1,2,3\n" * 50_000, "two.data": b"4,5,6\n"}


class Server(ThreadingHTTPServer):
    """Serves ``CONTENT``, or misbehaves as ``mood`` says."""

    daemon_threads = True
    mood = "fine"
    asked: list[str]
    stop: threading.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        name = self.path.rsplit("/", 1)[-1]
        server.asked.append(name)
        body = CONTENT[name]
        if server.mood == "absent":
            self.send_error(404)
            return
        if server.mood == "silent":
            server.stop.wait(5)
            return
        if server.mood == "wrong":
            body = body[::-1]
        if server.mood == "long":
            body *= 2
        self.send_response(200)
        if server.mood != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            if server.mood == "dripping":
                while not server.stop.wait(0.01):
                    self.wfile.write(b"x")
            self.wfile.write(body[: len(body) // 2] if server.mood == "cut" else body)
            while server.mood == "endless" and not server.stop.is_set():
                self.wfile.write(b"x" * 65536)
        except OSError:  # the client has seen enough
            pass

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    files = tuple(RemoteFile(n, len(c), hashlib.sha256(c).hexdigest()) for n, c in CONTENT.items())
    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked, running.stop = [], threading.Event()
        known = DataSet("toy", "Toy", running.url, "https://example.org/toy", "CC0", "Me", files)
        monkeypatch.setattr(module, "CATALOGUE", {"toy": known})
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.stop.set()
        running.shutdown()
        thread.join()


def complaint(into: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        fetch("toy", into, **options)
    assert caught.value.remedy
    return str(caught.value)


def left_over(into: Path) -> list[str]:
    return sorted(path.name for path in into.rglob("*") if path.is_file())


def test_files_arrive_with_their_source_written_beside_them(server, tmp_path):
    folder = fetch("toy", tmp_path / "new")
    assert folder == tmp_path / "new" / "toy"
    assert {n: (folder / n).read_bytes() for n in CONTENT} == CONTENT
    source = (folder / "SOURCE.txt").read_text()
    assert "CC0" in source
    assert server.url in source


def test_what_is_there_and_right_is_not_fetched_again(server, tmp_path):
    folder = fetch("toy", tmp_path)
    (folder / "two.data").write_bytes(b"9,9,9\n")
    server.asked.clear()
    fetch("toy", tmp_path)
    assert server.asked == ["two.data"]
    assert (folder / "two.data").read_bytes() == CONTENT["two.data"]


def test_a_broken_fetch_goes_on_with_what_is_missing(server, tmp_path, monkeypatch):
    small = CONTENT["one.data"]
    server.mood = "cut"
    assert "incomplete" in complaint(tmp_path)
    assert left_over(tmp_path) == []
    server.mood = "fine"
    (tmp_path / "toy" / "one.data").write_bytes(small)
    fetch("toy", tmp_path)
    assert server.asked == ["one.data", "two.data"]


def test_progress_is_told_file_by_file(server, tmp_path):
    told: list[tuple[str, int, int]] = []
    fetch("toy", tmp_path, progress=lambda *step: told.append(step))
    assert told[-1] == ("two.data", 6, 6)
    steps = [done for name, done, _ in told if name == "one.data"]
    assert steps == sorted(steps)
    assert steps[-1] == len(CONTENT["one.data"])


@pytest.mark.parametrize("mood", ["wrong", "long", "endless"])
def test_other_content_is_never_kept(server, tmp_path, mood):
    server.mood = mood
    assert "not the published file" in complaint(tmp_path)
    assert left_over(tmp_path) == []


def test_an_intact_old_file_outlives_a_failed_fetch(server, tmp_path):
    folder = fetch("toy", tmp_path)
    (folder / "two.data").unlink()
    server.mood = "wrong"
    complaint(tmp_path)
    assert (folder / "one.data").read_bytes() == CONTENT["one.data"]


def test_an_absent_file_is_named_with_the_manual_way(server, tmp_path):
    server.mood = "absent"
    answer = complaint(tmp_path)
    assert "does not have one.data (HTTP 404)" in answer
    assert "https://example.org/toy" in answer
    assert str(tmp_path / "toy") in answer


@pytest.mark.parametrize("mood", ["silent", "dripping"])
def test_a_slow_server_is_given_up(server, tmp_path, mood):
    server.mood = mood
    answer = complaint(tmp_path, timeout=0.1 if mood == "silent" else 0.03)
    assert "could not be reached" in answer


def test_offline_says_what_could_not_be_reached_and_what_to_do(server, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    answer = complaint(tmp_path, base_url=f"http://127.0.0.1:{port}/")
    assert f"127.0.0.1:{port} could not be reached for one.data" in answer
    assert "by hand" in answer


def test_a_mirror_may_be_named_and_its_password_is_not_shown(server, tmp_path):
    host = server.url.removeprefix("http://")
    assert fetch("toy", tmp_path, base_url=f"http://{host}/").is_dir()
    answer = complaint(tmp_path / "x", base_url="http://me:secret@127.0.0.1:1/")
    assert "secret" not in answer


@pytest.mark.parametrize("base", ["file:///etc", "ftp://example.org", "data"])
def test_only_web_addresses_are_opened(server, tmp_path, base):
    assert "not a web address" in complaint(tmp_path, base_url=base)


def test_a_folder_that_cannot_be_written_is_said(server, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in complaint(tmp_path / "file")


def test_an_unknown_data_set_is_answered_with_the_known(tmp_path):
    with pytest.raises(DataError, match="Did you mean"):
        fetch("heart-diseases", tmp_path)


def test_the_catalogue_is_well_formed():
    for name, known in CATALOGUE.items():
        assert known.name == name
        assert known.base_url.startswith("https://")
        assert all(len(file.sha256) == 64 for file in known.files)
