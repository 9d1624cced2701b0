"""A whole federation on this machine, for one run: SuperLink, sites, TLS and keys.

Everything is real but the network between: the same processes, certificates and checks as between
hospitals. It lies in the run's folder and is taken down with the run, whatever happens.
"""

import json
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from medfed.core.errors import RunError
from medfed.core.events import Event
from medfed.core.own_process import own_process
from medfed.federation.channel import Channel
from medfed.federation.enrolment.address import Address
from medfed.federation.enrolment.certificates import (
    CA,
    TLS,
    make_authority,
    make_server_certificate,
)
from medfed.federation.enrolment.node_key import (
    NODE_KEY,
    load_node_key,
    make_node_key,
    node_public_pem,
    public_line,
)
from medfed.federation.guarded import Guarded
from medfed.services.federation.attached import told_of
from medfed.services.federation.site_process import Line

if TYPE_CHECKING:
    from medfed.federation.flower.superlink import SuperLinkAt

HOST = "localhost"
ONLINE_WITHIN = 60.0


def open_loopback(
    folders: Mapping[str, Path],
    place: Path,
    on_event: Callable[[Event], None],
    *,
    in_memory: bool = False,
) -> Channel:
    """Start a federation of sites on this machine, and open a channel to it.

    Args:
        folders: The sites' folders.
        place: For what the federation needs of its own; removed when it ends.
        on_event: Told what happens on the way.
        in_memory: Whether messages must not come to lie on the disk as they are.

    Raises:
        RunError: Something does not start.
    """
    from medfed.federation.flower.channel import FlowerChannel
    from medfed.federation.flower.superlink import SuperLink
    from medfed.federation.flower.superlink import Tls as TlsFiles

    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        if in_memory:  # what a killed run left speaks of a SuperLink that has forgotten it
            shutil.rmtree(place, ignore_errors=True)
        address = Address(HOST, free_port())
        tls = TlsFiles(*make_certificates(place, address))
        link = SuperLink(place, address.port, tls, in_memory=in_memory)
        stack.callback(link.stop)
        link.start()
        started = {}
        for site, folder in folders.items():
            started[site] = _start_site(link.at, site, folder, place)
            stack.callback(started[site].stop)
        _await_all(link.at, started)
        channel = FlowerChannel(link.at, tuple(folders), place / "run", *told_of(on_event))
        channel.on_close = stack.pop_all().close
        return channel


def make_certificates(place: Path, address: Address) -> tuple[Path, Path, Path]:
    """An authority of its own and a certificate for the loopback: authority, certificate, key."""
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (place / CA).exists():
        make_authority(place, "loopback")
    make_server_certificate(place, address)
    return (place / CA).resolve(), (place / TLS).resolve(), (place / TLS).resolve()


def _start_site(at: "SuperLinkAt", site: str, folder: Path, place: Path) -> Guarded:
    from medfed.federation.flower.superlink import Registry

    home = place / "sites" / site
    home.mkdir(parents=True, exist_ok=True)
    key = load_node_key(home) if (home / NODE_KEY).exists() else make_node_key(home)
    with Registry(at) as registry:
        registry.register(site, node_public_pem(public_line(key.public_key())))
    line = Line(folder.resolve(), at.address, at.ca, home.resolve() / NODE_KEY, home.resolve())
    program = own_process("medfed.services.federation.site_process")
    return Guarded([*program, json.dumps(line.to_json())], home / "log")


def _await_all(at: "SuperLinkAt", started: Mapping[str, Guarded]) -> None:
    from medfed.federation.flower.superlink import Registry

    end = time.monotonic() + ONLINE_WITHIN
    away = set(started)
    with Registry(at) as registry:
        while time.monotonic() < end and all(started[site].alive for site in away):
            away = {s for s, node in registry.nodes().items() if s in started and not node.online}
            if not away:
                return
            time.sleep(0.1)
    site = min(away, key=lambda each: started[each].alive)
    raise RunError(
        f"these sites do not come online: {', '.join(sorted(away))}",
        remedy=f"The last that {site} said: {started[site].last_words()}",
    )


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
