"""The SuperLink process, and who is registered at it."""

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.control.control_http_client import ControlHttpClient

from medfed.core.errors import RunError
from medfed.federation.guarded import Guarded

READY_WITHIN = 60.0
DATABASE = "superlink.db"
IN_MEMORY = ":flwr-in-memory:"
"""What Flower calls a database that is none."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates of a server, as files.

    Attributes:
        ca: The authority's certificate.
        certificate: The server's.
        key: The server's private key.
    """

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class SuperLinkAt:
    """Where a SuperLink is, for this machine's own programs.

    Attributes:
        address: ``host:port``; the loopback interface.
        ca: The certificate that it is checked against.
        secret: File of the secret that the coordinator's processes claim their runs with.
    """

    address: str
    ca: Path
    secret: Path


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A site as the SuperLink sees it.

    Attributes:
        node: Its number there.
        online: Whether its heartbeat is fresh.
        key: Its public key for node authentication, PEM or SSH bytes as registered.
        since: When it came online last, ISO 8601; empty if it never did.
        left: When it went offline last, ISO 8601; empty if it never did.
    """

    node: int
    online: bool
    key: bytes
    since: str
    left: str = ""


class SuperLink:
    """A SuperLink on the loopback interface; killed and started again, it goes on where it was.

    Args:
        folder: For its database, its log and its secret.
        port: On 127.0.0.1.
        tls: Its certificates; they must name localhost.
        in_memory: Whether it keeps everything in memory; then it forgets all when it ends.
        store: Folder of its database instead of ``folder``.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        tls: Tls,
        *,
        in_memory: bool = False,
        store: Path | None = None,
    ) -> None:
        self.folder = folder
        self._database = IN_MEMORY if in_memory else str(((store or folder) / DATABASE).resolve())
        self.port = port
        self.tls = tls
        self.at = SuperLinkAt(f"localhost:{port}", tls.ca, folder / "superexec.secret")
        self._process: Guarded | None = None

    def start(self) -> None:
        """Start the process and wait until it answers.

        Raises:
            RunError: It does not come up.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.at.secret.exists():
            _write_secret(self.at.secret)
        environment = flower_environment(self.folder)
        self._process = Guarded(self._command(), self.log, environment, self.folder)
        self._wait()

    def _command(self) -> list[str]:
        options = {
            "--ssl-ca-certfile": self.tls.ca,
            "--ssl-certfile": self.tls.certificate,
            "--ssl-keyfile": self.tls.key,
            "--host": "127.0.0.1",
            "--port": self.port,
            "--isolation": "process",  # it starts no process of its own
            "--database": self._database,
            "--superexec-auth-secret-file": self.at.secret.resolve(),
        }
        words = [str(word) for pair in options.items() for word in pair]
        flags = ["--enable-supernode-auth", "--disable-runtime-dependency-installation"]
        program = Path(sys.executable).parent / "flower-superlink"
        return [str(program), *words, *flags]

    def _wait(self) -> None:
        end = time.monotonic() + READY_WITHIN
        while time.monotonic() < end:
            if not self.alive:
                break
            with contextlib.suppress(httpx.HTTPError), Registry(self.at) as registry:
                registry.nodes()
                return
            time.sleep(0.1)
        words = self._process.last_words() if self._process else ""
        self.stop()
        remedy = "Is its port taken? Else ask those who know Flower"
        raise RunError(f"Flower's SuperLink does not start: {words}", remedy=remedy)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.alive

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "superlink.log"


class Registry:
    """Who may fetch messages at a SuperLink: its Control API, which only this machine reaches.

    Raises:
        httpx.HTTPError: From every method, while the SuperLink is away.
    """

    def __init__(self, at: SuperLinkAt) -> None:
        self._client = ControlHttpClient.from_server_address(
            at.address, False, at.ca.read_bytes(), interceptors=[]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def nodes(self) -> Mapping[str, NodeSeen]:
        """All registered sites, by name."""
        found = self._client.ListNodes(ListNodesRequest()).nodes_info
        return {n.name: _seen(n) for n in found if n.status != "unregistered"}

    def register(self, site: str, key: bytes) -> int:
        """Let a site in by its node key; its number. The same again changes nothing.

        Args:
            site: The site's name.
            key: Its public key (ECDSA P-384), PEM.
        """
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
        from flwr.supercore.primitives.asymmetric import public_key_to_bytes

        public = load_pem_public_key(key)
        if not isinstance(public, EllipticCurvePublicKey):
            raise RunError(f"the node key of site {site} is no ECDSA key")
        encoded = public_key_to_bytes(public)
        known = self.nodes().get(site)
        if known and known.key == encoded:
            return known.node
        if known:
            self.remove(known.node)
        request = RegisterNodeRequest(public_key=encoded, name=site)
        return int(self._client.RegisterNode(request).node_id)

    def remove(self, node: int) -> None:
        """Shut a site out."""
        self._client.UnregisterNode(UnregisterNodeRequest(node_id=node))

    def start_run(self) -> int:
        """Begin a run of Flower's; its number."""
        from flwr.common.serde import fab_to_proto

        return int(self._client.StartRun(StartRunRequest(fab=fab_to_proto(_no_app()))).run_id)

    def stop_run(self, run: int) -> None:
        """End a run."""
        self._client.StopRun(StopRunRequest(run_id=run))

    def open_runs(self) -> list[int]:
        """Runs that have not ended."""
        runs = self._client.ListRuns(ListRunsRequest()).run_dict.values()
        return [int(run.run_id) for run in runs if run.status.status != "finished"]


def _seen(info: Any) -> NodeSeen:
    return NodeSeen(
        node=info.node_id,
        online=info.status == "online",
        key=info.public_key,
        since=info.last_activated_at,
        left=info.last_deactivated_at,
    )


def _no_app() -> Any:
    """Flower wants an app bundle with a run: this one holds a name and no code."""
    import hashlib

    from flwr.cli.build import build_fab_from_files
    from flwr.supercore.fab import Fab

    about = (
        '[project]\nname = "medfed"\nversion = "1.0.0"\n[tool.flwr.app]\npublisher = "medfed"\n'
        '[tool.flwr.app.components]\nserverapp = "none:none"\nclientapp = "none:none"\n'
    )
    content = build_fab_from_files({"pyproject.toml": about.encode()})[0]
    return Fab(hashlib.sha256(content).hexdigest(), content, {})


def flower_environment(home: Path) -> dict[str, str]:
    """What Flower's processes get: nothing reported, nothing fetched, nothing under the home."""
    return {
        **os.environ,
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_HOME": str(home / "flower-home"),
    }


def _write_secret(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
