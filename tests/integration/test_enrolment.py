"""Joining through the true thing: nginx with TLS before the enrolment and a stand-in SuperLink."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import subprocess
import threading
import time

import pytest
from integration.enrolling import Federation

from medfed.cli import main
from medfed.federation.enrolment.address import Address
from medfed.federation.enrolment.certificates import (
    TLS,
    make_authority,
    make_server_certificate,
    trusting,
)
from medfed.federation.enrolment.folder import renew
from medfed.federation.enrolment.join import join
from medfed.federation.enrolment.roster import enrolled_sites
from medfed.federation.nginx import SUPERLINK, prepare_nginx, reload_nginx
from medfed.services.doctor import examine

pytestmark = pytest.mark.needs_package("nginx")


class SuperLink(http.server.BaseHTTPRequestHandler):
    """Stands in for Flower's: every path answers, and says how much came and when it began."""

    protocol_version = "HTTP/1.1"
    seen: list[str]
    began: threading.Event

    def do_POST(self) -> None:
        self.seen.append(self.path)
        length = int(self.headers["Content-Length"])
        got = len(self.rfile.read(min(1000, length)))
        self.began.set()
        while got < length:
            got += len(self.rfile.read(min(1 << 20, length - got)))
        text = f"{self.path} {got}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def superlink(tmp_path):
    """With certificates of its own, as the coordinator's process gives it."""
    kind = type("Own", (SuperLink,), {"seen": [], "began": threading.Event()})
    inside = tmp_path / "coordinator with a space" / SUPERLINK
    inside.mkdir(parents=True)
    make_authority(inside, "inside")
    make_server_certificate(inside, Address("localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(inside / TLS)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.kind = kind
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def federation(tmp_path, superlink, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = Federation(tmp_path / "coordinator with a space")
    settings = made.folder.settings()
    command = prepare_nginx(settings, superlink.server_port, made.server.port)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as nginx:
        _wait(made.port, nginx)
        yield made
        nginx.terminate()
        made.complaints = nginx.stderr.read()
    made.close()


def _wait(port: int, process) -> None:
    for _ in range(200):
        assert process.poll() is None, process.stderr.read()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail("nginx does not listen")


def ask(federation, request: bytes, *, most=None) -> bytes:
    context = trusting(federation.folder.authority())
    if most:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = most
    with (
        socket.create_connection(("127.0.0.1", federation.port), 20) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as end,
    ):
        end.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while more := end.recv(65536):
                answer += more
        return answer


def get(path: str, method: str = "GET", extra: str = "", body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n"
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{length}{extra}\r\n"
    )
    return head.encode() + body


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def test_from_invitation_to_a_healthy_site(federation, tmp_path, capsys):
    main(["coordinator", "invite", str(federation.folder.path), "hospital_b"])
    code = capsys.readouterr().out
    main(["site", "join", code, "--folder", str(tmp_path / "b")])
    said = capsys.readouterr().out
    (site,) = enrolled_sites(federation.folder.path)
    assert site.fingerprint in said
    levels = {one.check: one.level for one in examine(tmp_path / "b")}
    assert levels.pop("membership") == "failure"  # no SuperLink stands behind this door
    assert "failure" not in levels.values()
    assert levels["versions"] == levels["identity"] == levels["tls"] == "ok"
    before = sorted((tmp_path / "b").iterdir())
    join(federation.invite("hospital_c"), tmp_path / "c")
    assert sorted((tmp_path / "b").iterdir()) == before
    assert [one.name for one in enrolled_sites(federation.folder.path)] == [
        "hospital_b",
        "hospital_c",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1/control/start-run", "/v1/runtime/x", "/v1/fleet", "/v1/enrolx", "/nginx.pid",
        "/v1/fleet/../control/start-run", "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/..%2fcontrol/start-run", "//v1/control/x", "/V1/FLEET/x",
        "/v1/enrol/../../v1/control/x", "/v1/enrol/ca.key", "/v1/fleet/register-node",
        "/v1/fleet/x/../register-node", "/v1/fleet/unregister%2dnode",
    ],
)  # fmt: skip
def test_nothing_but_the_fleet_and_enrolment_is_reached(federation, superlink, path):
    answer = ask(federation, get(path, "POST"))
    assert status(answer) in (301, 400, 403, 404, 405)
    assert superlink.kind.seen == []


def test_only_whole_fleet_paths_arrive_at_the_superlink(federation, superlink):
    """Even where nginx lets a path through, what arrives begins with the fleet's."""
    for path in (
        "/v1/fleet/pull-messages",
        "/v1/control/../fleet/a",
        "/v1/fleet/%252e%252e/control",
    ):
        ask(federation, get(path, "POST"))
    assert superlink.kind.seen[0] == "/v1/fleet/pull-messages"
    assert all(path.startswith("/v1/fleet/") for path in superlink.kind.seen)
    assert not any("/../" in path or "%2e%2e" in path for path in superlink.kind.seen)


def test_large_updates_are_passed_on_as_they_come(federation, superlink):
    body = bytes(8 << 20)
    answer = ask(federation, get("/v1/fleet/push-object", "POST", body=body))
    assert answer.endswith(f"/v1/fleet/push-object {len(body)}".encode())
    superlink.kind.began.clear()
    context = trusting(federation.folder.authority())
    with (
        socket.create_connection(("127.0.0.1", federation.port), 20) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as end,
    ):
        end.sendall(get("/v1/fleet/push-object", "POST", body=body)[: 1 << 20])
        assert superlink.kind.began.wait(20)  # before the rest was sent


@pytest.mark.slow
def test_sizes_are_limited(federation):
    too_long = "Content-Length: 100000000\r\n"
    head = f"POST /v1/fleet/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{too_long}\r\n"
    assert status(ask(federation, head.encode())) == 413
    assert status(ask(federation, get("/v1/enrol", "POST", body=bytes(20_000)))) == 413
    assert status(ask(federation, get("/v1/enrol", "POST", body=bytes(200_000)))) == 413


def test_a_flood_is_held_back(federation):
    answers = [status(ask(federation, get("/v1/enrol/hello"))) for _ in range(40)]
    assert answers[0] == 200
    assert 429 in answers


def test_tls_before_1_3_is_refused(federation):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(federation, get("/v1/enrol/hello"), most=ssl.TLSVersion.TLSv1_2)


def test_renewal_without_stopping(federation, tmp_path):
    """Before and after, the site believes; a connection that is open stays open."""
    join(federation.invite(), tmp_path / "b")
    context = trusting(federation.folder.authority())

    def connect():
        raw = socket.create_connection(("127.0.0.1", federation.port), 20)
        return context.wrap_socket(raw, server_hostname="localhost")

    with connect() as old:
        before = old.getpeercert(binary_form=True)
        old.sendall(get("/v1/fleet/x", "POST", body=bytes(100))[:-50])
        renew(federation.folder)
        assert reload_nginx(federation.folder.path)
        for _ in range(200):
            with connect() as new:
                after = new.getpeercert(binary_form=True)
            if after != before:
                break
            time.sleep(0.05)
        assert after != before
        old.sendall(bytes(50))
        assert old.recv(65536).startswith(b"HTTP/1.1 200")
    assert {one.check for one in examine(tmp_path / "b") if one.level == "failure"} == {
        "membership"
    }
