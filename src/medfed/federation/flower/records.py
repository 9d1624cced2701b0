"""Sealed messages as Flower's records, and the way of a message's pieces to the other end.

A large payload is an array record of bytes: Flower cuts it into chunks, sends each chunk once
however many messages share it, and so an order with the same model for all sites is uploaded once.
A small one goes with the header: each piece of a message costs a request at either end.
"""

import io
import json
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import httpx
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.app.message.arraychunk import ArrayChunk
from flwr.common.serde import message_to_proto
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_all_nested_objects,
    get_object_body,
    get_object_head_values_from_object_content,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectUnavailableError,
    inflate_object_from_contents,
)
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata

from medfed.core.errors import WireError
from medfed.core.files import Buffer
from medfed.federation.flower.memory import sweep
from medfed.federation.wire import Sealed

MAX_PIECES = 2048
"""Pieces of a message, of 5 MiB at most each."""
MAX_PIECE = 6 * 2**20
"""Bytes of a piece: a chunk and Flower's words around it."""
PATIENCE = 30.0
"""Seconds without a new piece, after which a message that is still being uploaded is given up."""
SMALL = 64 * 1024
"""Bytes of a payload that goes with the header."""
OF_A_SMALL_ONE = 3
"""Pieces of a message whose payload goes with the header."""
LOOK_FIRST, LOOK_LEAST_OFTEN = 0.02, 1.0
"""Seconds between looks for a piece that is still being uploaded."""
Pull = Callable[[str], bytes]
HEAD, BODY, PAYLOAD = "medfed", "payload", "payload"


def to_record(sealed: Sealed) -> RecordDict:
    """A sealed message as Flower carries it."""
    head = ConfigRecord({"header": sealed.header, "signature": sealed.signature})
    record = RecordDict({HEAD: head})
    if len(sealed.payload) <= SMALL:
        head[PAYLOAD] = bytes(sealed.payload)
    else:
        array = Array("uint8", (len(sealed.payload),), "bytes", b"")
        array.data = sealed.payload  # type: ignore[assignment]  # it is cut as any buffer is
        body = ArrayRecord()
        body[PAYLOAD] = array
        record[BODY] = body
    return record


def from_record(record: RecordDict) -> Sealed:
    """The sealed message, taken out of a record.

    Flower's objects refer to each other in circles and live until those are looked for: the
    payload does not stay with them.

    Raises:
        WireError: It holds something else.
    """
    try:
        head: Any = record[HEAD]
        body: Any = record.get(BODY, None)
        header, signature = head["header"], head["signature"]
        payload = head.get(PAYLOAD, b"")
        if body is not None:
            payload, body[PAYLOAD].data = body[PAYLOAD].data, b""
    except (LookupError, AttributeError, TypeError):
        raise WireError("Flower delivered a message that is not medfed's") from None
    if not all(isinstance(part, Buffer) for part in (header, signature, payload)):
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


def is_large(tree: Any) -> bool:
    """Whether a message has more pieces than itself, its record and the header: a large payload."""
    return len(list(islice(iterate_object_tree(tree), OF_A_SMALL_ONE + 1))) > OF_A_SMALL_ONE


def collect(
    message_id: str, tree: Any, pull: Pull, given_up: Callable[[], bool] = lambda: False
) -> Message:
    """Fetch a message's pieces and put it together.

    One by one, so that the payload is in memory once: Flower's own way holds the pieces, the
    chunks in them, their join and a copy of it. It may take as long as its pieces keep coming:
    who uploads may be behind a slow line.

    Args:
        message_id: Its name at the SuperLink.
        tree: Its tree of objects.
        pull: Fetches one object.
        given_up: Asked while a piece is not there: whether it will not come.

    Raises:
        WireError: It is too large, or no message.
        ObjectPullError: Its pieces do not come.
    """
    latest = time.monotonic()

    def uploaded(name: str) -> bytes:
        while True:
            waited = time.monotonic() - latest
            try:
                return pull(name)
            except ObjectUnavailableError:
                if waited > PATIENCE or given_up():
                    reason = "the pieces of the message do not come"
                    raise ObjectPullError(name, reason) from None
            time.sleep(min(LOOK_LEAST_OFTEN, max(LOOK_FIRST, waited / 8)))

    def patiently(name: str) -> bytes:
        nonlocal latest
        content = uploaded(name)
        if len(content) > MAX_PIECE:
            raise WireError("a piece of a message is too large")
        latest = time.monotonic()
        return content

    pieces(tree)  # complains of too many
    try:
        return _put_together(message_id, tree, patiently)
    except (WireError, ObjectPullError, httpx.HTTPError):
        raise
    except Exception:  # noqa: BLE001  # whoever made the pieces may have put anything into them
        raise WireError("Flower delivered a message that cannot be read") from None


def _put_together(message_id: str, tree: Any, pull: Pull) -> Message:
    contents: dict[str, bytes] = {}
    arrays: dict[str, InflatableObject] = {}
    _gather(tree, pull, contents, arrays)
    message = inflate_object_from_contents(message_id, contents, objects=arrays)
    if not isinstance(message, Message):
        raise WireError("Flower delivered something that is no message")
    return message


def _gather(
    node: Any, pull: Pull, contents: dict[str, bytes], arrays: dict[str, InflatableObject]
) -> None:
    content = pull(node.object_id)
    kind, children, _ = get_object_head_values_from_object_content(content)
    if kind == "Array":
        arrays[node.object_id] = _array(content, children, pull)
        return
    contents[node.object_id] = content
    for child in node.children:
        _gather(child, pull, contents, arrays)


def _array(content: bytes, names: list[str], pull: Pull) -> Array:
    """An array joined chunk by chunk; one chunk may stand at several places."""
    about = json.loads(get_object_body(content, Array))
    if len(about["arraychunk_ids"]) > MAX_PIECES:
        raise WireError("a message in so many pieces is too large")
    joined = io.BytesIO()  # whose value is given out without a copy
    last, chunk = -1, b""
    for place in about["arraychunk_ids"]:
        if place != last:
            last, chunk = place, get_object_body(pull(names[place]), ArrayChunk)
            sweep()
        joined.write(chunk)
    return Array(about["dtype"], tuple(about["shape"]), about["stype"], joined.getvalue())


class Versions:
    """Says which Flower this is with every request.

    Flower's own interceptor also ends the process when the other end refuses the version; here a
    refusal is an error like any other.
    """

    def __init__(self, component: str) -> None:
        about = RuntimeVersionMetadata.from_local_component(component).as_metadata()
        self._headers: Mapping[str, str] = dict(about)

    def intercept(self, context: Any, call_next: Callable[[Any], Any]) -> Any:
        """Add the headers to a request."""
        context.request.headers.update(self._headers)
        return call_next(context)


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
        upload, lacking = pusher(answer.session_id), set(answer.objects_to_push)
        for name, piece in get_all_nested_objects(message).items():
            if name in lacking:  # one by one: together they are the payload once more
                upload(name, piece.deflate())
                sweep()
    return answer
