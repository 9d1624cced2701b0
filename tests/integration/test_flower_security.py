"""What one gets from a running coordinator without being invited, or in another's name: nothing."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("flwr", reason="the extra `flower` is not installed")

import httpx
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    RegisterNodeFleetRequest,
    UnregisterNodeFleetRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import PullObjectRequest
from flwr.proto.node_pb2 import Node
from integration.enrolling import free_port
from integration.federated import Recorder, go, study_of
from integration.standing import await_

from medfed.cli import main
from medfed.core.errors import SiteError
from medfed.federation.enrolment.certificates import CA
from medfed.federation.enrolment.folder import init_coordinator
from medfed.federation.enrolment.invites import invite
from medfed.federation.enrolment.join import join
from medfed.federation.enrolment.node_key import NODE_KEY, make_node_key
from medfed.federation.flower.fleet import Fleet, NotEnrolled
from medfed.federation.flower.link import Link
from medfed.federation.flower.superlink import Registry
from medfed.federation.wire import Order, open_reply, seal, sha256
from medfed.services import doctor
from medfed.services.federation.attached import open_attached
from medfed.services.federation.coordinator_process import superlink_at
from medfed.services.sites import open_site
from medfed.storage.run_folder import RunFolder

SITES = ("north", "south")
pytestmark = [pytest.mark.needs_package("nginx"), pytest.mark.usefixtures("quick")]


class Running:
    """A coordinator that runs, and the folders of sites that joined it."""

    def __init__(self, path) -> None:
        self.path, self.port = path, free_port()
        self.folder = init_coordinator(
            path / "coordinator", f"https://localhost:{self.port}", bind=f"127.0.0.1:{self.port}"
        )
        self.home = self.folder.path
        self.address = f"localhost:{self.port}"

    def join(self, name: str):
        join(str(invite(self.folder, name, timedelta(hours=1))), self.path / name)
        return self.path / name

    def fleet(self, name: str) -> Fleet:
        """A site's own way in."""
        folder = self.path / name
        return Fleet(self.address, folder / CA, folder / NODE_KEY, folder / "node")

    def nodes(self):
        with Registry(superlink_at(self.home)) as registry:
            return registry.nodes()

    def listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


def start(made: Running) -> subprocess.Popen:
    """Its coordinator's process, the moment that something listens."""
    config = str(made.home / "coordinator.toml")
    log = made.path / "log"
    with log.open("w") as out:
        command = [Path(sys.executable).parent / "medfed", "coordinator", "--config", config]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    await_(lambda: made.listens() or process.poll() is not None, 90, "nothing listens")
    assert process.poll() is None, log.read_text()
    return process


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    made = Running(tmp_path_factory.mktemp("running"))
    process = start(made)
    try:
        for name in SITES:
            made.join(name)
        yield made
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(params=["nginx", "superlink"])
def intruder(request, running, tmp_path):
    """Somebody with the right certificate and a key of his own, before nginx or behind it."""
    inside = superlink_at(running.home)
    address, ca = {
        "nginx": (running.address, running.path / "north" / CA),
        "superlink": (inside.address, inside.ca),
    }[request.param]
    make_node_key(tmp_path)
    fleet = Fleet(address, ca, tmp_path / NODE_KEY, tmp_path / "node")
    yield fleet
    fleet._client.close()


def refused(call) -> int:
    """The status with which somebody is turned away."""
    with pytest.raises(httpx.HTTPStatusError) as error:
        call()
    return error.value.response.status_code


def test_one_that_is_told_to_end_while_it_starts_leaves_nothing(tmp_path):
    made = Running(tmp_path)
    process = start(made)  # nginx listens, and is not yet known to stay
    process.terminate()
    assert process.wait(30) == 0
    assert not made.listens(), "the next one would find the port taken"


def test_an_intruder_can_neither_register_nor_come_online(intruder, running):
    client, key = intruder._client, intruder._public
    assert refused(lambda: client.RegisterNode(RegisterNodeFleetRequest(public_key=key))) in (
        403,
        412,
    )
    request = ActivateNodeRequest(public_key=key, heartbeat_interval=30)
    assert refused(lambda: client.ActivateNode(request)) in (401, 412)
    assert set(running.nodes()) >= set(SITES)
    assert key not in [node.key for node in running.nodes().values()]


def test_an_intruder_gets_nothing_in_a_sites_name_and_does_it_no_harm(intruder, running):
    client, node = intruder._client, Node(node_id=running.nodes()["north"].node)
    calls = [
        lambda: client.PullMessages(PullMessagesRequest(node=node)),
        lambda: client.PullObject(PullObjectRequest(node=node, run_id=1, object_id="0" * 64)),
        lambda: client.SendNodeHeartbeat(
            SendNodeHeartbeatRequest(node=node, heartbeat_interval=30)
        ),
        lambda: client.DeactivateNode(DeactivateNodeRequest(node_id=node.node_id)),
        lambda: client.UnregisterNode(UnregisterNodeFleetRequest(node_id=node.node_id)),
    ]
    assert {refused(call) for call in calls} <= {401, 403, 412}
    assert "north" in running.nodes()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run", "/v1/control/list-nodes", "/v1/control/register-node",
        "/v1/runtime/acquire-task", "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run", "/v1/fleet/..%2fcontrol/start-run",
        "/v1/fleet/%252e%252e/control/start-run", "//v1/control/start-run",
        "/v1/fleet//../control/start-run", "/v1/fleet/..;/control/start-run",
        "/docs", "/openapi.json", "/health", "/v1/fleet/register-node",
    ],
)  # fmt: skip
def test_no_path_leads_from_outside_to_a_run_or_a_registration(running, path):
    import ssl

    context = ssl.create_default_context(cafile=running.path / "north" / CA)
    url = httpx.URL(f"https://{running.address}").copy_with(raw_path=path.encode())
    headers = {"content-type": "application/protobuf", "accept": "application/protobuf"}
    with httpx.Client(verify=context, follow_redirects=True) as client:
        answer = client.post(url, content=b"", headers=headers)
    assert answer.status_code in (400, 401, 403, 404, 405), answer.content[:200]


def test_whoever_trusts_the_certificate_starts_no_run(running):
    """With Flower's own client and a whole request: what the coordinator itself does inside."""
    from flwr.common.serde import fab_to_proto
    from flwr.proto.control_pb2 import StartRunRequest
    from flwr.supercore.control.control_http_client import ControlHttpClient
    from flwr.supercore.fab import Fab

    ca = (running.path / "north" / CA).read_bytes()
    connect = ControlHttpClient.from_server_address
    inside = superlink_at(running.home)
    with Registry(inside) as registry:
        before = registry.open_runs()
        started = registry.start_run()  # so that the request below fails for where it comes from
        registry.stop_run(started)
    bundle = Fab(sha256(b"code"), b"code", {})
    request = StartRunRequest(fab=fab_to_proto(bundle))
    with contextlib.closing(connect(running.address, False, ca, [])) as outside:
        assert refused(lambda: outside.StartRun(request)) == 404
    with Registry(inside) as registry:
        assert registry.open_runs() == before


def test_an_uninvited_site_is_told_what_to_do(intruder, tmp_path):
    with pytest.raises(NotEnrolled, match="does not let this site in"):
        intruder.connect()
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        link.stop()

    link = Link(intruder, lambda sealed: (None, 0.0), tmp_path / "order", say)
    link.run()
    assert "Ask the coordinator whether the site is still enrolled" in said[0]


@contextlib.contextmanager
def at_work(running, fleet, name):
    """A site that answers, in this process."""
    site = open_site(running.path / name)
    answer = lambda sealed: (site.handle(sealed), 0.1)  # noqa: E731  # one line, used at once
    link = Link(fleet, answer, running.path / name / "order", lambda text: None)
    thread = threading.Thread(target=link.run, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        link.stop()
        thread.join(60)
        link.leave()


@pytest.mark.slow
def test_a_site_that_answers_in_anothers_name_is_refused_by_our_own_signatures(running, tmp_path):
    """Flower takes such a reply; whose key signed it is what counts."""
    study = study_of(rounds=1, sites=SITES, top="deadline = 30")
    north, south = running.fleet("north"), running.fleet("south")
    forged: list[str] = []
    genuine = north.reply

    with at_work(running, north, "north") as victim, at_work(running, south, "south") as forger:
        for site in (victim, forger):
            site.folder.approve(study)

        def reply(envelope, sealed, seconds):
            told = open_reply(sealed, victim.key.public_key(), "north")
            last = list(victim.folder.receipts(told.run))[-1:]
            if told.payload_bytes and last[0]["round"] == 1:
                sealed = seal(replace(told), forger.key, sealed.payload)
                forged.append(told.order)
                return south.reply(envelope, sealed, seconds)
            return genuine(envelope, sealed, seconds)

        north.reply = reply
        watch = Recorder()
        go(study, tmp_path / "out", watch, engine="flower", coordinator=running.home)
    assert forged
    assert (1, "north", "rejected") in watch.missing()
    assert "the message is not signed by site north" in watch.said()
    rows = RunFolder(tmp_path / "out").rows()
    assert [row["participants"] for row in rows if row["round"] == 1] == [["south"]]


def test_orders_of_another_key_are_refused_whoever_sends_them(running, tmp_path):
    """Whoever gets into the SuperLink can start runs of Flower's, and no site obeys them."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    site = open_site(running.path / "north")
    order = Order("r", "0" * 64, "north", 1, "train", "sum", 0, "{}", sha256(b""), 0)
    answer = site.handle(seal(order, Ed25519PrivateKey.generate()))
    assert open_reply(answer, site.key.public_key(), "north").refusal == "bad-signature"


def membership(folder):
    return next(one for one in doctor.examine(folder) if one.check == "membership")


def test_a_site_that_was_removed_gets_nothing_any_more(running, tmp_path):
    running.join("west")
    assert membership(running.path / "west").level == "ok"
    west = running.fleet("west")
    west.connect()
    assert west.fetch() is None
    main(["coordinator", "remove", str(running.home), "west"])
    await_(lambda: "west" not in running.nodes(), 60, "it was not shut out")
    for call in (west.fetch, west.heartbeat, west.connect):
        with pytest.raises(NotEnrolled):
            call()
    west._client.close()
    told = membership(running.path / "west")
    assert (told.level, "does not let this site in" in told.message) == ("failure", True)
    with pytest.raises(SiteError, match="west"):
        open_attached(study_of(sites=("north", "west")), running.home, tmp_path, print)
