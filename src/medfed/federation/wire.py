"""Orders and replies: built, signed, and opened with every check that needs no context.

Two neighbouring versions are spoken. Each message says its own, and is sealed in the version that
its reader was found to speak.
"""

import hashlib
import json
import math
import struct
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.message import DecodeError, Message

from medfed.core.errors import REFUSALS, WireError, WireVersionError
from medfed.core.files import Buffer, canonical_json
from medfed.core.no_pickles import unpickling_refused
from medfed.federation import wire_pb2
from medfed.federation.keys import verify

VERSION = 2
OLDEST = VERSION - 1
"""The oldest version still read and, for a reader that asks for it, written."""
SINCE = {"deadline": 2, "seconds": 2}
"""The version that brought a field; the others were there from the first."""
VERSION_ONE_SAID = "the message has wire version"
"""How a site of version 1 begins its no to a newer order, under the name ``bad-signature``."""

MAX_HEADER = 16 * 1024 * 1024
"""Bytes an order's header may have: its body holds vocabularies."""
MAX_REPLY_HEADER = 64 * 1024
MAX_PAYLOAD = 2**62
"""Where the reader knows of no bound: what a length field may say."""
MAX_DEPTH = 32
"""How deep the body of an order may be nested."""
MAX_MESSAGE = 2000
"""Characters of a refusal's sentence that are sent, and shown."""
REMEMBERED = 4 * 1024 * 1024
"""Bytes up to which what was hashed last is held on to."""
SIGNATURE = 64
FILE_HEAD = 8 + 32
"""Bytes before the header when a message lies in a file: two lengths and a hash."""
M = TypeVar("M", bound=Message)
Purpose = Literal["query", "train", "evaluate"]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed message as it travels: header, signature over it, payload named in it.

    Attributes:
        digest: SHA-256 of the payload in hexadecimal, where whoever sealed it knew.
    """

    header: bytes
    signature: bytes
    payload: Buffer = b""
    digest: str = field(default="", compare=False)

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return len(self.header) + len(self.signature) + len(self.payload)

    def pieces(self) -> tuple[Buffer, ...]:
        """The message as one file: its parts behind their lengths and the payload's hash."""
        lengths = struct.pack("<II", len(self.header), len(self.signature))
        digest = self.digest or sha256(self.payload)
        return (lengths, bytes.fromhex(digest), self.header, self.signature, self.payload)

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
        if header > MAX_HEADER or signature > SIGNATURE or start > len(blob):
            raise WireError("the stored message is damaged")
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
    deadline: float = 0.0
    version: int = VERSION
    id: str = field(init=False)
    """Derived from what is asked: the same order again has the same id, in whatever version it is
    written and however long the coordinator will wait this time."""

    def __post_init__(self) -> None:
        values = (self.run, self.study, self.site, self.round, self.purpose, self.phase)
        content = [*values, self.memory, self.body, self.payload_sha256]
        object.__setattr__(self, "id", hashlib.sha256(canonical_json(content)).hexdigest())

    def content(self) -> Any:
        """The body, read: plain data in whatever form the sender gave it.

        Raises:
            WireError: It is not JSON, or nested too deep.
        """
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            raise WireError("the body of the order is not JSON") from None
        if _too_deep(content):
            raise WireError(f"the body of the order is nested deeper than {MAX_DEPTH} levels")
        return content


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
    seconds: float = 0.0
    version: int = VERSION


def _fields(kind: type[Order] | type[Reply], version: int) -> tuple[str, ...]:
    sent = (each.name for each in fields(kind) if each.init)
    return tuple(name for name in sent if SINCE.get(name, 1) <= version)


_SENT = {
    (kind, version): _fields(kind, version)
    for kind in (Order, Reply)
    for version in range(OLDEST, VERSION + 1)
}
"""Names of the fields that travel in a version; the others follow from them."""


_hashed: list[tuple[tuple[bytes, str], ...]] = [()]
"""What was hashed last, and before: sites in one process are sent the same bytes."""


def sha256(payload: Buffer) -> str:
    """SHA-256 in hexadecimal; of the two objects that were hashed last, as it was."""
    before = _hashed[0]
    for known in before:
        if payload is known[0]:
            break
    else:
        known = payload, hashlib.sha256(payload).hexdigest()
        if (
            not isinstance(payload, bytes) or len(payload) > REMEMBERED
        ):  # what may change, or is large
            return known[1]
    _hashed[0] = (known, *(one for one in before if one is not known))[:2]
    return known[1]


def seal(message: Order | Reply, key: Ed25519PrivateKey, payload: Buffer = b"") -> Sealed:
    """Sign a message in its own version; its payload is bound by the hash in the header."""
    kind = wire_pb2.Order if isinstance(message, Order) else wire_pb2.Reply
    names = _SENT[type(message), message.version]
    values = {name: getattr(message, name) for name in names}
    header = kind(**values).SerializeToString(deterministic=True)
    return Sealed(header, key.sign(_domain(kind) + header), payload, message.payload_sha256)


@unpickling_refused()
def open_order(sealed: Sealed, key: Ed25519PublicKey, max_payload: int = MAX_PAYLOAD) -> Order:
    """Verify and read an order.

    Args:
        sealed: What came.
        key: The coordinator's.
        max_payload: Bytes the payload may have; more are not even hashed.

    Raises:
        WireVersionError: Of a version that is not spoken here.
        WireError: Forged, malformed, too large, or its payload was changed.
    """
    _check_header(sealed, MAX_HEADER)
    parsed = _open(wire_pb2.Order, sealed, key, "the coordinator this site trusts")
    _check_version("order", parsed.version, "this site", "the coordinator")
    _check_payload(parsed, sealed.payload, max_payload)
    order = Order(**{name: getattr(parsed, name) for name in _SENT[Order, parsed.version]})
    if order.purpose not in ("query", "train", "evaluate"):
        raise WireError(f"the order has an unknown purpose {order.purpose[:40]!r}")
    if not order.deadline >= 0:
        raise WireError("the order has a deadline that is no length of time")
    return order


@unpickling_refused()
def open_reply(
    sealed: Sealed, key: Ed25519PublicKey, site: str, max_payload: int = MAX_PAYLOAD
) -> Reply:
    """Verify and read a reply.

    Args:
        sealed: What came.
        key: The site's.
        site: Whose reply it should be.
        max_payload: Bytes the payload may have; more are not even hashed.

    Raises:
        WireVersionError: Of a version that is not spoken here.
        WireError: Forged, malformed, too large, or its payload was changed.
    """
    _check_header(sealed, MAX_REPLY_HEADER)
    parsed = _open(wire_pb2.Reply, sealed, key, f"site {site}")
    _check_version("reply", parsed.version, "this coordinator", f"site {site}")
    _check_payload(parsed, sealed.payload, max_payload)
    values = {name: getattr(parsed, name) for name in _SENT[Reply, parsed.version]}
    reply = Reply(**values | {"message": shown(parsed.message)})
    if reply.site != site:
        raise WireError(f"site {site} signed a reply in another site's name")
    if reply.refusal and reply.refusal not in REFUSALS:
        raise WireError(f"site {site} refused under an unknown name")
    if not 0 <= reply.seconds < math.inf:
        raise WireError(f"site {site} says it worked for {reply.seconds} seconds")
    return reply


def version_asked_in(header: bytes) -> int:
    """The version in which to refuse an order that cannot be trusted, or not be read.

    It is the first field of every message. Here it is looked at before any check, and decides
    nothing but the form of a no that its sender can read.
    """
    version = header[1] if len(header) > 1 and header[0] == 0x08 else OLDEST
    return min(max(version, OLDEST), VERSION)


def version_wanted(reply: Reply, sent: int) -> int | None:
    """The version in which a site wants an order again; None if its reply says nothing of it."""
    old = reply.refusal == "bad-signature" and reply.message.startswith(VERSION_ONE_SAID)
    if reply.refusal == "wire-version" or (old and reply.version == 1):
        return reply.version if reply.version != sent else None
    return None


def shown(text: str) -> str:
    """A sentence from elsewhere, fit for a log and a terminal."""
    cut = text[:MAX_MESSAGE]
    return cut if cut.isprintable() else "".join(c if c.isprintable() else " " for c in cut)


def _check_header(sealed: Sealed, most: int) -> None:
    if len(sealed.header) > most:
        raise WireError(f"the header has {len(sealed.header)} bytes, {most} are allowed")


def _open(kind: type[M], sealed: Sealed, key: Ed25519PublicKey, who: str) -> M:
    if len(sealed.signature) != SIGNATURE:
        raise WireError(f"the message is not signed by {who}")
    verify(key, sealed.signature, _domain(kind) + sealed.header, who)
    parsed = kind()
    try:
        parsed.ParseFromString(sealed.header)
    except DecodeError:
        raise WireError("the message header cannot be read") from None
    return parsed


def _check_version(what: str, version: int, here: str, there: str) -> None:
    """Refuse an unknown version, saying both sides' and which of them to update."""
    if not OLDEST <= version <= VERSION:
        raise WireVersionError(
            f"the {what} has wire version {version}, {here} speaks {OLDEST} and {VERSION}",
            remedy=f"Update medfed at {there if version < OLDEST else here}",
        )


def _check_payload(parsed: Any, payload: Buffer, most: int) -> None:
    if len(payload) > most:
        raise WireError(f"the payload has {len(payload)} bytes, {most} are allowed")
    if len(payload) != parsed.payload_bytes or sha256(payload) != parsed.payload_sha256:
        raise WireError("the payload is not the one that was signed")


def _too_deep(content: Any) -> bool:
    level = [content]
    for _ in range(MAX_DEPTH + 1):
        holders = [each for each in level if isinstance(each, dict | list)]
        if not holders:
            return False
        level = [v for h in holders for v in (h.values() if isinstance(h, dict) else h)]
    return True


def _domain(kind: type[Message]) -> bytes:
    return f"medfed {kind.DESCRIPTOR.full_name}\0".encode()
