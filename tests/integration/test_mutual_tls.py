"""The how-to "mutual TLS", typed as it stands; and who stands before the door in vain."""

from __future__ import annotations

import subprocess
import sys

import pytest
from docs_examples import ROOT
from integration.machines import Network, Typist, demand_root

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.needs_package("nginx"),
    pytest.mark.needs_package("libnginx-mod-stream"),
    pytest.mark.needs_package("openssl"),
    pytest.mark.needs_package("iproute2"),
]
PAGE = ROOT / "docs" / "how-to" / "mutual-tls.md"
ADDRESSES = {"fed": "10.77.0.2", "north": "10.77.1.2"}
DOOR, BEHIND = 9443, 8443
KNOCK = """
import socket, ssl, sys
door, inside = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(2))
for context in (door, inside):
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
if sys.argv[1:]:
    door.load_cert_chain(*sys.argv[1:])
mine, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
medfed = inside.wrap_bio(theirs, mine, server_hostname="fed.example.org")
try:
    medfed.do_handshake()
except ssl.SSLWantReadError:
    hello = mine.read()
raw = socket.create_connection(("door.example.org", 9443), 20)
end = door.wrap_socket(raw, server_hostname="fed.example.org")
end.sendall(hello)
sys.exit(0 if end.recv(5) else "nobody answers")
"""
"""Through the door to the coordinator's own TLS, with a certificate or without."""


@pytest.fixture
def network(tmp_path):
    demand_root()
    names = {"door.example.org": ADDRESSES["fed"]}
    allowed = [("north", "fed", port) for port in (DOOR, BEHIND)]  # the door alone must hold
    with Network(tmp_path / "machines", ADDRESSES, allowed, names) as made:
        # The page writes to /etc/hosts, which must be the machine's own.
        assert "door.example.org" in made["north"].run("cat /etc/hosts")
        yield made


def knock(machine, *pair: str) -> bool:
    """Whether somebody behind the door answers."""
    line = ["ip", "netns", "exec", machine.namespace, sys.executable, "-c", KNOCK, *pair]
    done = subprocess.run(line, cwd=machine.home, capture_output=True, text=True, check=False)
    refused = ("nobody answers", "CERTIFICATE", "Connection reset", "alert", "EOF")
    assert done.returncode == 0 or any(word in done.stderr for word in refused), done.stderr
    return done.returncode == 0


def test_the_page_leads_a_site_through_the_door(network):
    typist = Typist(network, PAGE)
    for _ in typist.blocks():
        assert network["north"].open_ports() == []
    assert all(place.endswith(f":{DOOR}") for place in network["fed"].open_ports())
    north, fed = network["north"], network["fed"]
    assert not north.can_reach(fed.address, BEHIND)
    assert knock(north, "door/north.pem", "door/site.key")
    assert not knock(north)


def test_a_certificate_of_somebody_else_does_not_open_the_door(network):
    """Also not one with the right name, or the coordinator's own, which every site has seen."""
    typist = Typist(network, PAGE)
    for _ in typist.blocks():
        if "doctor" in " ".join(command for _, command, _ in typist.printed):
            break
    north = network["north"]
    north.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -days 9 "
        "-subj /CN=north -keyout other.key -out other.pem"
    )
    assert not knock(north, "other.pem", "other.key")
    assert knock(north, "door/north.pem", "door/site.key")
    hosts_door = next(command for command in north.running if command.startswith("nginx"))
    north.running[hosts_door].interrupt()
    assert "nobody listens" in north.run("medfed site doctor site", status=1)
