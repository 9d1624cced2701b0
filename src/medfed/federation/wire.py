"""Orders and replies: built, signed, and opened with every check that needs no context."""

import hashlib
import json
import struct
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.message import DecodeError, Message

from medfed.core.errors import REFUSALS, WireError
from medfed.core.files import Buffer, canonical_json
from medfed.federation import wire_pb2
from medfed.federation.keys import verify

VERSION = 1
MAX_HEADER = 16 * 1024 * 1024
FILE_HEAD = 8 + 32
"""Bytes before the header when a message lies in a file: two lengths and a hash."""
M = TypeVar("M", bound=Message)
Purpose = Literal["query", "train", "evaluate"]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed message as it travels: header, signature over it, payload named in it."""

    header: bytes
    signature: bytes
    payload: Buffer = b""

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return len(self.header) + len(self.signature) + len(self.payload)

    def pieces(self) -> tuple[Buffer, ...]:
        """The message as one file: its parts behind their lengths and the payload's hash."""
        lengths = struct.pack("<II", len(self.header), len(self.signature))
        digest = hashlib.sha256(self.payload).digest()
        return (lengths, digest, self.header, self.signature, self.payload)

    @classmethod
    def from_bytes(cls, blob: bytes) -> "Sealed":
        """Read what `pieces` wrote.

        Raises:
            WireError: It is cut off or damaged.
        """
        if len(blob) < FILE_HEAD:
            raise WireError("the stored message is cut off")
        header, signature = struct.unpack_from("<II", blob)
        start, digest = FILE_HEAD + header + signature, blob[8:FILE_HEAD]
        if hashlib.sha256(memoryview(blob)[start:]).digest() != digest:
            raise WireError("the stored message is damaged")
        body = blob[FILE_HEAD:start]
        return cls(body[:header], body[header:], memoryview(blob)[start:])


@dataclass(frozen=True, slots=True)
class Order:
    """What the coordinator asks of one site; see ``wire.proto`` for the fields."""

    run: str
    study: str
    site: str
    round: int
    purpose: str
    phase: str
    memory: int
    body: str
    payload_sha256: str
    payload_bytes: int
    id: str = field(init=False)
    """Derived from the content: the same order again has the same id."""

    def __post_init__(self) -> None:
        values = (self.run, self.study, self.site, self.round, self.purpose, self.phase)
        content = [*values, self.memory, self.body, self.payload_sha256]
        object.__setattr__(self, "id", hashlib.sha256(canonical_json(content)).hexdigest())

    def content(self) -> Any:
        """The body, read: plain data in whatever form the sender gave it."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a site answers: an update in the payload, or a refusal."""

    run: str
    site: str
    order: str
    base_sha256: str
    refusal: str
    message: str
    payload_sha256: str
    payload_bytes: int


def sha256(payload: Buffer) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(payload).hexdigest()


def seal(message: Order | Reply, key: Ed25519PrivateKey, payload: Buffer = b"") -> Sealed:
    """Sign a message; its payload is bound by the hash in the header."""
    kind = wire_pb2.Order if isinstance(message, Order) else wire_pb2.Reply
    values = {name: getattr(message, name) for name in _sent_fields(type(message))}
    header = kind(version=VERSION, **values).SerializeToString(deterministic=True)
    return Sealed(header, key.sign(_domain(kind) + header), payload)


def open_order(sealed: Sealed, key: Ed25519PublicKey) -> Order:
    """Verify and read an order.

    Raises:
        WireError: Forged, malformed, of an unknown version, or its payload was changed.
    """
    parsed = _open(wire_pb2.Order, sealed, key, "the coordinator this site trusts")
    order = Order(**{name: getattr(parsed, name) for name in _sent_fields(Order)})
    if order.purpose not in ("query", "train", "evaluate"):
        raise WireError(f"the order has an unknown purpose {order.purpose[:40]!r}")
    return order


def open_reply(sealed: Sealed, key: Ed25519PublicKey, site: str) -> Reply:
    """Verify and read a reply.

    Raises:
        WireError: Forged, malformed, of an unknown version, or its payload was changed.
    """
    parsed = _open(wire_pb2.Reply, sealed, key, f"site {site}")
    reply = Reply(**{name: getattr(parsed, name) for name in _sent_fields(Reply)})
    if reply.site != site:
        raise WireError(f"site {site} signed a reply in another site's name")
    if reply.refusal and reply.refusal not in REFUSALS:
        raise WireError(f"site {site} refused under an unknown name")
    return reply


def _open(kind: type[M], sealed: Sealed, key: Ed25519PublicKey, who: str) -> M:
    if len(sealed.header) > MAX_HEADER:
        raise WireError(f"the header has {len(sealed.header)} bytes, {MAX_HEADER} are allowed")
    verify(key, sealed.signature, _domain(kind) + sealed.header, who)
    parsed = kind()
    try:
        parsed.ParseFromString(sealed.header)
    except DecodeError:
        raise WireError("the message header cannot be read") from None
    version = getattr(parsed, "version", 0)
    if version != VERSION:
        raise WireError(
            f"the message has wire version {version}, this program speaks {VERSION}",
            remedy="Update the older side",
        )
    _check_payload(parsed, sealed.payload)
    return parsed


def _sent_fields(kind: type[Order] | type[Reply]) -> tuple[str, ...]:
    """Names of the fields that travel; the others follow from them."""
    return tuple(each.name for each in fields(kind) if each.init)


def _check_payload(parsed: Any, payload: Buffer) -> None:
    if len(payload) != parsed.payload_bytes or sha256(payload) != parsed.payload_sha256:
        raise WireError("the payload is not the one that was signed")


def _domain(kind: type[Message]) -> bytes:
    return f"medfed {kind.DESCRIPTOR.full_name}\0".encode()
