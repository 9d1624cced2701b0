"""Sealed messages as Flower's records, and the way of a message's pieces to the other end.

The payload is an array record of bytes: Flower cuts it into chunks, sends each chunk once however
many messages share it, and so an order with the same model for all sites is uploaded once.
"""

from collections.abc import Callable
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import push_objects

from medfed.core.errors import WireError
from medfed.federation.wire import Sealed

MAX_PIECES = 2048
"""Pieces of a message, of 5 MiB at most each."""
HEAD, BODY, PAYLOAD = "medfed", "payload", "payload"


def to_record(sealed: Sealed) -> RecordDict:
    """A sealed message as Flower carries it."""
    head = ConfigRecord({"header": sealed.header, "signature": sealed.signature})
    record = RecordDict({HEAD: head})
    if len(sealed.payload):
        data = bytes(sealed.payload)
        record[BODY] = ArrayRecord({PAYLOAD: Array("uint8", (len(data),), "bytes", data)})
    return record


def from_record(record: RecordDict) -> Sealed:
    """The sealed message in a record.

    Raises:
        WireError: It holds something else.
    """
    try:
        head: Any = record[HEAD]
        body: Any = record.get(BODY, None)
        header, signature = head["header"], head["signature"]
        payload = body[PAYLOAD].data if body is not None else b""
    except (LookupError, AttributeError, TypeError):
        raise WireError("Flower delivered a message that is not medfed's") from None
    if not all(isinstance(part, bytes) for part in (header, signature, payload)):
        raise WireError("Flower delivered a message that is not medfed's")
    return Sealed(header, signature, payload)


def pieces(tree: Any) -> list[str]:
    """Names of all the pieces of a message.

    Raises:
        WireError: They are too many.
    """
    names = [each.object_id for each in iterate_object_tree(tree)]
    if len(names) > MAX_PIECES:
        raise WireError(f"a message in {len(names)} pieces is too large")
    return names


def deliver(
    message: Message,
    push: Callable[[Any, Any], Any],
    pusher: Callable[[str], Any],
) -> Any:
    """Hand a message to a SuperLink: the message itself, then the pieces that it lacks.

    Args:
        message: The message.
        push: Sends the message without content and its tree of objects; gives the answer.
        pusher: For the answer's session, what uploads one object.

    Returns:
        The SuperLink's answer.
    """
    with no_object_id_recompute():
        message.metadata.__dict__["_message_id"] = message.object_id
        bare = message_to_proto(remove_content_from_message(message))
        answer = push(bare, get_object_tree(message))
        push_objects(
            get_all_nested_objects(message),
            pusher(answer.session_id),
            object_ids_to_push=set(answer.objects_to_push),
        )
    return answer
