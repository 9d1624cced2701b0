"""Peers for the Flower carrier: Flower's own apps that do nothing, and an exchange of ours.

Flower's are run as its documentation has them (SuperLink, SuperNodes, an app bundle with a
ServerApp and a ClientApp), on the loopback interface without TLS, which favours them.
"""

import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from medfed.federation.guarded import Guarded
from medfed.services.federation.loopback import free_port

WITHIN = 400.0
SERVER = """
import json, os, time
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

WANTED = json.loads(os.environ["MEDFED_BENCH"])
app = ServerApp()

@app.main()
def main(grid, context):
    while len(list(grid.get_node_ids())) < WANTED["nodes"]:
        time.sleep(0.2)
    seconds = []
    if WANTED["megabytes"]:
        ends = []
        draw = np.random.default_rng(0).standard_normal  # Flower sends a constant's chunk once
        first = ArrayRecord({"w": Array(draw(WANTED["megabytes"] * 250_000, np.float32))})
        FedAvg(fraction_evaluate=0.0, min_available_nodes=WANTED["nodes"]).start(
            grid, first, num_rounds=WANTED["exchanges"],
            evaluate_fn=lambda number, arrays: ends.append(time.time()),
        )
        seconds = [b - a for a, b in zip(ends, ends[1:])]
    for _ in range(0 if seconds else WANTED["exchanges"]):
        start = time.time()
        content = RecordDict({"a": ConfigRecord({"b": b"x" * 1000})})
        list(grid.send_and_receive([Message(content, n, "query") for n in grid.get_node_ids()]))
        seconds.append(time.time() - start)
    with open(WANTED["out"] + ".part", "w") as file:
        json.dump(seconds, file)
    os.replace(WANTED["out"] + ".part", WANTED["out"])
"""
CLIENT = """
import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.query()
def query(message, context):
    return Message(message.content, reply_to=message)

@app.train()
def train(message, context):
    size = message.content.array_records["arrays"]["w"].numpy().size
    update = np.random.default_rng().standard_normal(size, np.float32)
    arrays, metrics = ArrayRecord({"w": Array(update)}), MetricRecord({"num-examples": 1})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
"""
ABOUT = """
[project]
name = "bench"
version = "1.0.0"
[tool.flwr.app]
publisher = "medfed"
[tool.flwr.app.components]
serverapp = "server:app"
clientapp = "client:app"
"""


def own_apps(nodes: int, exchanges: int, megabytes: int = 0) -> list[float]:
    """Seconds of each exchange of Flower's own apps; with megabytes, of each FedAvg round."""
    from flwr.cli.build import build_fab_from_files
    from flwr.common.serde import fab_to_proto
    from flwr.proto.control_pb2 import StartRunRequest
    from flwr.supercore.fab import Fab

    files = {"pyproject.toml": ABOUT, "server.py": SERVER, "client.py": CLIENT}
    fab = build_fab_from_files({name: text.encode() for name, text in files.items()})[0]
    with tempfile.TemporaryDirectory(prefix="medfed-flower-") as name:
        out = Path(name) / "seconds.json"
        wanted = {"nodes": nodes, "exchanges": exchanges, "megabytes": megabytes, "out": str(out)}
        with _stock(Path(name), nodes, wanted) as control:
            bundle = Fab(hashlib.sha256(fab).hexdigest(), fab, {})
            control.StartRun(StartRunRequest(fab=fab_to_proto(bundle)))
            end = time.monotonic() + WITHIN
            while not out.exists():
                if time.monotonic() > end:
                    raise TimeoutError(f"Flower's own apps did not end in {WITHIN:.0f} s")
                time.sleep(0.2)
        return [float(each) for each in json.loads(out.read_text())]


@contextmanager
def _stock(folder: Path, nodes: int, wanted: dict[str, Any]) -> Iterator[Any]:
    """A stock SuperLink with stock SuperNodes; gives its Control API."""
    from flwr.supercore.control.control_http_client import ControlHttpClient

    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "FLWR_HOME": str(folder / "home"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "MEDFED_BENCH": json.dumps(wanted),
    }
    port = free_port()
    link = [str(programs / "flower-superlink"), "--insecure", "--host", "127.0.0.1"]
    node = [str(programs / "flower-supernode"), "--insecure", "--superlink", f"127.0.0.1:{port}"]
    with ExitStack() as stack:
        started = Guarded([*link, "--port", str(port)], folder / "link.log", environment, folder)
        stack.callback(started.stop)
        control = ControlHttpClient.from_server_address(f"127.0.0.1:{port}", True, None, [])
        _until_answers(control)
        for number in range(nodes):
            own = ["--host", "127.0.0.1", "--port", str(free_port())]
            log = folder / f"node{number}.log"
            stack.callback(Guarded([*node, *own], log, environment, folder).stop)
        yield control


def _until_answers(control: Any) -> None:
    import httpx
    from flwr.proto.control_pb2 import ListNodesRequest

    end = time.monotonic() + WITHIN
    while time.monotonic() < end:
        try:
            control.ListNodes(ListNodesRequest())
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit("Flower's SuperLink did not start")


def null_exchange(nodes: int, exchanges: int) -> float:
    """The median exchange over our carrier of orders that are answered by themselves.

    Orders and answers are of about the size of a small table's. Each has bytes of its own, as what
    is signed has: Flower does not upload again what it has been given before.
    """
    from medfed.federation.enrolment.address import Address
    from medfed.federation.enrolment.node_key import make_node_key, node_public_pem, public_line
    from medfed.federation.flower.channel import FlowerChannel
    from medfed.federation.flower.superlink import Registry, SuperLink, Tls
    from medfed.federation.wire import Sealed
    from medfed.services.federation.loopback import make_certificates

    names = [f"site{number}" for number in range(nodes)]
    with tempfile.TemporaryDirectory(prefix="medfed-flower-") as name, ExitStack() as stack:
        place, port = Path(name), free_port()
        link = SuperLink(place, port, Tls(*make_certificates(place, Address("localhost", port))))
        stack.callback(link.stop)
        link.start()
        for site in names:
            home = place / site
            home.mkdir()
            key = make_node_key(home)
            with Registry(link.at) as registry:
                registry.register(site, node_public_pem(public_line(key.public_key())))
            echo = [sys.executable, __file__, link.at.address, str(link.at.ca), str(home)]
            stack.callback(Guarded(echo, home / "log").stop)
        channel = FlowerChannel(link.at, names, place / "run")
        stack.callback(channel.close)
        seconds = []
        for number in range(exchanges + 1):
            orders = {
                s: (f"{s} {number}", Sealed(b"h" * 400, os.urandom(64), b"x" * 1000)) for s in names
            }
            start = time.perf_counter()
            channel.send(orders)
            if len(list(channel.replies(WITHIN))) < nodes:
                raise SystemExit("a null exchange was not answered")
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds[1:])  # the first waits for the sites to come online


def echo(address: str, ca: str, home: str) -> None:
    """A site that answers each order with the order, signed by nobody."""
    from medfed.federation.flower.fleet import Fleet
    from medfed.federation.flower.link import Link
    from medfed.federation.wire import Sealed

    def answer(order: Sealed) -> tuple[Sealed, float]:
        return Sealed(order.header, os.urandom(64), order.payload), 0.0

    place = Path(home)
    fleet = Fleet(address, Path(ca), place / "node.key", place / "node")
    Link(fleet, answer, place / "order", print).run()


if __name__ == "__main__":
    echo(*sys.argv[1:])
