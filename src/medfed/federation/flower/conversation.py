"""The coordinator's end: a run of Flower's, held by this process from its claim to its end."""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushAppMessagesRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.auth import load_superexec_auth_secret
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.runtime import RuntimeHttpClient

from medfed.core.errors import RunError, WireError
from medfed.federation.flower.records import (
    Versions,
    collect,
    deliver,
    from_record,
    is_large,
    to_record,
)
from medfed.federation.flower.superlink import Registry, SuperLinkAt
from medfed.federation.wire import Sealed

SERVER = "flwr-serverapp"
ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
COORDINATOR = Node(node_id=SUPERLINK_NODE_ID)
HEARTBEAT = 10.0
"""Seconds; a minute without one and the SuperLink ends the run."""
TTL = 30 * 86_400.0
"""Seconds a message may lie at the SuperLink: the deadline is the round loop's to judge."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A reply that the SuperLink has and gives to nobody else; its content is still there.

    Attributes:
        to: The message that it answers.
        id: Its own id.
        tree: The objects that make its content.
        large: Whether its content takes long enough to come that somebody may want to know.
    """

    to: str
    id: str
    tree: Any
    large: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came back.

    Attributes:
        sealed: A sealed reply, or None.
        reason: Flower's words why there is none.
        offline: Whether that is because the site is not there.
    """

    sealed: Sealed | None
    reason: str = ""
    offline: bool = False


NOT_OURS = Arrived(Sealed(b"", b""))
"""What is no reply of medfed's: signed by nobody, it is refused like any other forgery."""


class Conversation:
    """A run of Flower's.

    Begun anew after a crash: orders are known by their content, sites answer the same order with
    the same reply, and what the run before left is stopped.

    Raises:
        httpx.TransportError: From every method, while the SuperLink is away.
        RunLost: The SuperLink has given the run up; begin another.
    """

    def __init__(self, at: SuperLinkAt, leftover: int | None = None) -> None:
        self._at = at
        self.run, token = _claim(at, leftover)
        self._client = _runtime(at, RuntimeTokenHttpInterceptor(token))
        with _told():
            self._client.PullTaskInput(PullTaskInputRequest())  # Flower's sign that it has begun
        self._heart = _Heart(self._client)
        self._heart.start()

    def send(self, node: int, sealed: Sealed, created: float) -> str:
        """Lay a message ready for a node; the message's id.

        Args:
            node: The node.
            sealed: The message.
            created: When it was made, seconds since 1970. The same message of the same time again
                completes one that was cut off on its way to the SuperLink.

        Raises:
            NeverSeen: The node is not registered, or has never been online.
        """
        metadata = Metadata(
            run_id=self.run,
            message_id="",
            src_node_id=SUPERLINK_NODE_ID,
            dst_node_id=node,
            reply_to_message_id="",
            group_id="",
            created_at=created,
            ttl=TTL,
            message_type="query",
        )
        message = make_message(metadata=metadata, content=to_record(sealed))
        with _told():
            answer = deliver(message, self._push, self._pusher)
        if not answer.message_ids[0]:
            raise NeverSeen
        return str(answer.message_ids[0])

    def _push(self, message: Any, tree: Any) -> Any:
        request = PushAppMessagesRequest(messages_list=[message], message_object_trees=[tree])
        return self._client.PushMessages(request)

    def _pusher(self, session: str) -> Any:
        return make_push_object_fn_protobuf(self._client.PushObject, COORDINATOR, self.run, session)

    def claim(self, messages: Sequence[str]) -> list[Claimed]:
        """The replies that have come to some messages; each is handed out once."""
        with _told():
            answer = self._client.PullMessages(PullAppMessagesRequest(message_ids=messages))
        pairs = zip(answer.messages_list, answer.message_object_trees, strict=True)
        return [
            Claimed(
                proto.metadata.reply_to_message_id,
                proto.metadata.message_id,
                tree,
                is_large(tree),
            )
            for proto, tree in pairs
        ]

    def fetch(self, claimed: Claimed, given_up: Callable[[], bool]) -> Arrived:
        """Bring a reply's content over.

        Args:
            claimed: The reply.
            given_up: Whether a piece that is not there will not come.

        Raises:
            ObjectPullError: It is no longer there.
        """
        pull = make_pull_object_fn_protobuf(self._client.PullObject, COORDINATOR, self.run)
        try:
            with _told():
                reply = collect(claimed.id, claimed.tree, pull, given_up)
        except WireError:
            return NOT_OURS
        with contextlib.suppress(httpx.HTTPError):  # else it goes with the run
            self._client.ConfirmMessageReceived(
                ConfirmMessageReceivedRequest(
                    node=COORDINATOR, run_id=self.run, message_object_id=claimed.id
                )
            )
        if reply.has_error():
            code, reason = reply.error.code, reply.error.reason
            offline = code == ErrorCode.NODE_UNAVAILABLE
            return Arrived(None, reason or f"error {code}", offline)
        try:
            return Arrived(from_record(reply.content))
        except WireError:
            return NOT_OURS

    @property
    def lost(self) -> bool:
        """Whether the SuperLink has given the run up."""
        return self._heart.lost

    def close(self) -> None:
        """End the run; stopping it also removes its messages from the SuperLink's database."""
        self._heart.done.set()
        self._heart.lost = True  # whoever still asks must begin another
        with contextlib.suppress(httpx.HTTPError), Registry(self._at) as registry:
            registry.stop_run(self.run)  # else the next conversation stops what is left
        self._client.close()


class RunLost(Exception):
    """The SuperLink has given a run up; messages of it are gone."""


class NeverSeen(Exception):
    """The SuperLink takes no message for a node that has never been online."""


class _Heart(threading.Thread):
    """Tells the SuperLink that this process lives."""

    def __init__(self, client: RuntimeHttpClient) -> None:
        super().__init__(daemon=True, name="medfed-heartbeat")
        self.client = client
        self.done = threading.Event()
        self.lost = False

    def run(self) -> None:
        while not self.done.wait(HEARTBEAT):
            try:
                answer = self.client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
                self.lost = self.lost or not answer.success
            except httpx.HTTPStatusError as error:
                self.lost = self.lost or error.response.status_code in (401, 403)
            except (httpx.HTTPError, RuntimeError):  # the latter when closed in between
                continue  # the SuperLink is away; whoever sends or receives notices


def _claim(at: SuperLinkAt, leftover: int | None) -> tuple[int, str]:
    """Begin a run and claim it: its number, and the token of this process."""
    secret = load_superexec_auth_secret(secret_file=str(at.secret)) or b""
    interceptor = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=[ACQUIRE])
    client = _runtime(at, interceptor)
    try:
        # The SuperLink hands out the oldest unclaimed run: one claim at a time on this machine.
        with _one_at_a_time(at), Registry(at) as registry, _told():
            if leftover is not None and leftover in registry.open_runs():
                registry.stop_run(leftover)
            run = registry.start_run()
            for _ in range(100):
                got = client.AcquireTask(AcquireTaskRequest(supported_task_types=[SERVER]))
                if got.token and got.task.run_id == run:
                    return run, got.token
                time.sleep(0.05)
    finally:
        client.close()
    raise RunError(
        "the SuperLink did not hand over the run that was begun",
        remedy="Start the coordinator again",
    )


def _runtime(at: SuperLinkAt, interceptor: Any) -> RuntimeHttpClient:
    # Without Flower's retrying: it ends the process on some answers and hides others.
    return RuntimeHttpClient.from_server_address(
        at.address, False, at.ca.read_bytes(), interceptors=[Versions(SERVER), interceptor]
    )


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say that a run is lost where the SuperLink no longer takes its token."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (401, 403, 404, 409):
            raise RunLost(error.response.text[:200]) from None
        raise


@contextlib.contextmanager
def _one_at_a_time(at: SuperLinkAt) -> Iterator[None]:
    handle = os.open(at.secret.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
