"""The site's end: Flower's Fleet API, spoken by the site itself in the place of a SuperNode.

A stock SuperNode would fetch code with each run and start a process for each message; a site runs
nothing but what it has installed.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_ssh_private_key,
)
from flwr.app import Error, Message, RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.common.serde import message_from_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from medfed.core.errors import SiteError, WireError
from medfed.core.files import write_atomic
from medfed.federation.flower.records import (
    Versions,
    collect,
    deliver,
    from_record,
    to_record,
)
from medfed.federation.wire import Sealed

ANNOUNCED = 30.0
"""Seconds between heartbeats as announced; after two of them the site counts as offline."""
LOST, LOST_WORDS = 1001, "worker-lost"
"""Our error: the site has no answer to give."""


class NotEnrolled(SiteError):
    """The coordinator does not let this site in."""


class RunOver(Exception):
    """The run that a message belonged to has ended: nobody waits for the reply."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A message from the SuperLink.

    Attributes:
        sealed: The order.
        envelope: Flower's metadata of the message, to answer it by.
    """

    sealed: Sealed
    envelope: bytes


class Fleet:
    """A site at a SuperLink.

    Args:
        address: ``host:port`` of the coordinator, as this site reaches it.
        ca: The certificate that the coordinator's is checked against.
        key: File of the node's private key (ECDSA P-384).
        memo: Where the site's number is kept.

    Raises:
        httpx.TransportError: From every method, while the coordinator cannot be reached.
        NotEnrolled: From every method, when it does not let the site in.
    """

    def __init__(self, address: str, ca: Path, key: Path, memo: Path) -> None:
        private = _load(key)
        self._public = public_key_to_bytes(private.public_key())
        self._memo = memo
        self._node = Node()
        self._client = FleetHttpClient.from_server_address(
            address,
            False,
            ca.read_bytes(),
            interceptors=[
                Versions("SuperNode"),
                NodeAuthHttpInterceptor(private, private.public_key()),
            ],
        )

    def connect(self) -> None:
        """Come online, anew even where the coordinator still takes the site for online.

        The coordinator sees that the site has begun anew, and sends again what may have been lost
        on the way; besides, Flower does not activate a site that it takes for online.
        """
        if self._memo.exists():
            with suppress(NotEnrolled, ValueError):  # off already, or of another database
                self._deactivate(int(self._memo.read_text()))
        request = ActivateNodeRequest(public_key=self._public, heartbeat_interval=ANNOUNCED)
        with _told():
            self._node = Node(node_id=self._client.ActivateNode(request).node_id)
        write_atomic(self._memo, str(self._node.node_id).encode())

    def _deactivate(self, node: int) -> None:
        with _told():
            self._client.DeactivateNode(DeactivateNodeRequest(node_id=node))

    def heartbeat(self) -> None:
        """Say that the site lives."""
        with _told():
            self._client.SendNodeHeartbeat(
                SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=ANNOUNCED)
            )

    def fetch(self) -> "Envelope | None":
        """The next message that waits for the site; it is handed out once."""
        with _told():
            answer = self._client.PullMessages(PullMessagesRequest(node=self._node))
        if not answer.messages_list:
            return None
        return Envelope(answer.messages_list[0], answer.message_object_trees[0])

    def open(self, envelope: "Envelope") -> Sealed:
        """Fetch what a message holds.

        Raises:
            RunOver: It is gone.
            WireError: It is not an order.
            ObjectPullError: Its pieces do not come.
        """
        run = envelope.proto.metadata.run_id
        pull = make_pull_object_fn_protobuf(self._client.PullObject, self._node, run)
        with _told(gone=RunOver):
            message = collect(envelope.tree.object_id, envelope.tree, pull)
        if not message.has_content():
            raise WireError("Flower delivered a message that is not medfed's")
        return from_record(message.content)

    def confirm(self, envelope: "Envelope") -> None:
        """Say that a message is safe here, so that the SuperLink may drop it."""
        request = ConfirmMessageReceivedRequest(
            node=self._node,
            run_id=envelope.proto.metadata.run_id,
            message_object_id=envelope.tree.object_id,
        )
        with _told(gone=RunOver):
            self._client.ConfirmMessageReceived(request)

    def reply(self, envelope: bytes, sealed: Sealed | None, seconds: float) -> None:
        """Answer a message: with a sealed reply, or with word that there is none.

        The same answer again is the same message of Flower's, so that one which was cut off in the
        middle is completed: a second one to the same order would be ignored.

        Raises:
            RunOver: Nobody waits for it.
        """
        order = message_from_proto(MessageProto.FromString(envelope))
        reply = _reply_to(order.metadata, sealed)
        run = order.metadata.run_id

        def push(bare: Any, tree: Any) -> Any:
            return self._client.PushMessages(
                PushMessagesRequest(
                    node=self._node,
                    messages_list=[bare],
                    message_object_trees=[tree],
                    clientapp_runtime_list=[seconds],
                )
            )

        def pusher(session: str) -> Any:
            return make_push_object_fn_protobuf(self._client.PushObject, self._node, run, session)

        with _told(gone=RunOver):
            deliver(reply, push, pusher)

    def leave(self) -> None:
        """Go offline at once, and not after a minute of silence."""
        try:
            if self._node.node_id:
                self._memo.unlink(missing_ok=True)
                self._deactivate(self._node.node_id)
        finally:
            self._client.close()


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message that lies at the SuperLink: Flower's metadata, and the tree of its pieces."""

    proto: Any
    tree: Any

    def to_bytes(self) -> bytes:
        """What answering it later needs."""
        proto = MessageProto()
        proto.CopyFrom(self.proto)
        proto.metadata.message_id = self.tree.object_id
        return proto.SerializeToString()


def _reply_to(order: Metadata, sealed: Sealed | None) -> Message:
    metadata = Metadata(
        run_id=order.run_id,
        message_id="",
        src_node_id=order.dst_node_id,
        dst_node_id=order.src_node_id,
        reply_to_message_id=order.message_id,
        group_id=order.group_id,
        created_at=order.created_at,
        ttl=order.ttl,
        message_type=order.message_type,
    )
    if sealed is None:
        return make_message(metadata=metadata, error=Error(LOST, LOST_WORDS))
    content: RecordDict = to_record(sealed)
    return make_message(metadata=metadata, content=content)


@contextmanager
def _told(gone: type[Exception] | None = None) -> Iterator[None]:
    """Turn the SuperLink's noes into ours."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status == 403 and gone is not None:
            raise gone() from None
        if status in (401, 412):
            raise NotEnrolled(
                "the coordinator does not let this site in",
                remedy="Ask the coordinator whether the site is still enrolled, and check the "
                "clock here: it may be at most 5 s ahead",
            ) from None
        raise httpx.TransportError(f"the coordinator answered {status}") from None
    except ValueError as error:  # a proxy answered, with a page of its own
        raise httpx.TransportError(f"the coordinator's answer cannot be read: {error}") from None


def _load(path: Path) -> EllipticCurvePrivateKey:
    raw = path.read_bytes()
    load = load_ssh_private_key if b"OPENSSH" in raw[:60] else load_pem_private_key
    key = load(raw, None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise SiteError(f"{path} is not an ECDSA key", remedy="Join the federation again")
    return key
