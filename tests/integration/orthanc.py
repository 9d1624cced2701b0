"""Orthanc as a hospital's PACS: started by the tests, for this machine only.

Debian's own settings listen to everybody and store what anybody sends. Orthanc cannot be told to
listen on one address, so this one answers nobody but 127.0.0.1: HTTP with a password and without
remote access, and DICOM for one title at one address. Debian's Orthanc crashes when it speaks TLS
itself, so TLS is put in front of it, as hospitals do with nginx.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from integration.enrolling import HOST, Server, free_port

TITLE, OWN_TITLE = "TESTPACS", "MEDFED"
USER, PASSWORD = "medfed", "only for tests"
START_SECONDS = 60


@dataclass
class Orthanc:
    """A PACS that is up.

    Attributes:
        port: where DIMSE is spoken; 0 where it ended.
        web_port: where DICOMweb is spoken, over TLS.
        plain_port: the same in clear text.
        receive_port: where it sends to when asked by C-MOVE.
        ca: the certificate to trust.
        log: what it says.
    """

    port: int
    web_port: int
    plain_port: int
    receive_port: int
    ca: Path
    log: Path
    user: str = USER
    password: str = field(default=PASSWORD, repr=False)

    @property
    def url(self) -> str:
        """The address for DICOMweb."""
        return f"https://{HOST}:{self.web_port}/dicom-web"

    @property
    def dimse(self) -> str:
        """The address for DIMSE."""
        return f"{TITLE}@{HOST}:{self.port}"

    def ask(self, path: str, host: str = HOST, method: str = "GET"):
        """What its own REST interface answers."""
        request = urllib.request.Request(f"http://{host}:{self.plain_port}{path}", method=method)
        token = b64encode(f"{self.user}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def clear(self) -> None:
        """Forget all patients."""
        for patient in self.ask("/patients"):
            self.ask(f"/patients/{patient}", method="DELETE")


@contextlib.contextmanager
def running_orthanc(folder: Path):
    """An Orthanc with everything in a folder; ended at the end."""
    ports = [free_port() for _ in range(4)]
    own = Orthanc(*ports, ca=folder / "ca.pem", log=folder / "orthanc.log")
    make_certificate(folder / "server.pem", own.ca)
    settings = {
        "Name": "medfed tests",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
        "HttpPort": own.plain_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {own.user: own.password},
        "WebDavEnabled": False,
        "DicomAet": TITLE,
        "DicomPort": own.port,
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": True,
        "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowStore": False,
        "DicomModalities": {"own": [OWN_TITLE, HOST, own.receive_port]},
        "OverwriteInstances": True,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False, "Ssl": True},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with own.log.open("wb") as log:
        process = subprocess.Popen(
            ["/usr/sbin/Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder
        )
    try:
        _wait(own, process)
        with _tls_in_front(own, folder / "server.pem"):
            yield own
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """A PACS for the tests of a module; they carry ``needs_package`` for both its packages."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as pacs:
        yield pacs


@contextlib.contextmanager
def _tls_in_front(own: Orthanc, certificate: Path):
    """Pass what comes over TLS on to the plain port, and the answers back."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def carry(come: socket.socket) -> None:
        with (
            context.wrap_socket(come, server_side=True) as outer,
            socket.create_connection((HOST, own.plain_port)) as inner,
        ):
            back = threading.Thread(target=_pump, args=(inner, outer), daemon=True)
            back.start()
            _pump(outer, inner)
            back.join()

    with Server(own.web_port, carry):
        yield


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _wait(own: Orthanc, process: subprocess.Popen) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            own.ask("/system")
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    pytest.fail(f"Orthanc did not start:\n{own.log.read_text()[-3000:]}")


def make_certificate(server: Path, ca: Path) -> None:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "medfed tests")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    ca.write_bytes(public)
    server.write_bytes(private + public)
