"""Ciphertexts one after another, as the arrays of a message."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from medfed.aggregators.secure.messages import GROUP, table_in
from medfed.aggregators.secure.phases import in_parts
from medfed.core.aggregator import Spooled
from medfed.core.errors import Refused, WireError
from medfed.core.update import Array, Update

ROOM = 102
"""Per cent of the first ciphertext's size that is set aside for each: sizes differ a little."""


def packed(ciphertexts: Iterable[bytes], count: int) -> dict[str, Array]:
    """Ciphertexts as arrays of a message; each is let go as soon as it is copied.

    Args:
        ciphertexts: All of about the same size.
        count: About how many: room is made for them at once, since growing costs copies.
    """
    whole, end = np.empty(0, np.uint8), 0
    sizes: list[int] = []
    for one in ciphertexts:
        if end + len(one) > whole.size:
            room = np.empty(end + ROOM * len(one) * max(count - len(sizes), 1) // 100, np.uint8)
            room[:end] = whole[:end]
            whole = room
        whole[end : end + len(one)] = np.frombuffer(one, np.uint8)
        end += len(one)
        sizes.append(len(one))
    return {"ciphertexts": whole[:end], "sizes": np.array(sizes, np.int64)}


def unpacked(received: Update) -> Iterator[bytes]:
    """The ciphertexts of a message.

    Raises:
        Refused: ``malformed-order``.
    """
    blob = received.tensors.get(f"{GROUP}/ciphertexts")
    sizes = received.tensors.get(f"{GROUP}/sizes")
    if blob is None or sizes is None or sizes.dtype != np.int64 or blob.dtype != np.uint8:
        raise Refused("malformed-order", "the order lacks the ciphertexts")
    ends = np.cumsum(sizes)
    if np.any(sizes < 0) or ends[-1:].tolist() != [blob.size]:
        raise Refused("malformed-order", "the order lacks ciphertexts")
    return (blob[end - size : end].tobytes() for size, end in zip(sizes, ends, strict=True))


def streamed(parts: Sequence[Spooled]) -> Iterator[tuple[bytes, ...]]:
    """The first ciphertext of every part, then the second, and so on."""
    return zip(*(_ciphertexts(part) for part in parts), strict=True)


def check_parts(parts: Sequence[Spooled], digest: str, count: int) -> None:
    """Whether a site's parts have the ciphertexts that the layout asks for, of the dealt context.

    Raises:
        WireError: They have not.
    """
    for phase, part in zip(in_parts("", "", len(parts)), parts, strict=True):
        which = phase.share(count)
        _check_part(part, digest, which.stop - which.start)


def _check_part(part: Spooled, digest: str, count: int) -> None:
    if table_in(part).get("context") != digest:
        raise WireError("it encrypted for another context")
    sizes, name = array_in(part, "sizes", np.int64), f"{GROUP}/ciphertexts"
    if sizes.size != count:
        raise WireError(f"it sent {sizes.size} ciphertexts and not {count}")
    whole = sum(int(size) for size in sizes)
    if name not in part.names() or np.any(sizes < 0) or part.shape(name) != (whole,):
        raise WireError("its ciphertexts are not whole")
    if part.chunk(name, 0, 0).dtype != np.uint8:
        raise WireError("its ciphertexts are of a wrong type")


def array_in(reply: Spooled, name: str, dtype: type) -> Array:
    """A flat array of a message.

    Raises:
        WireError: It has none of that type.
    """
    full = f"{GROUP}/{name}"
    if full not in reply.names() or len(reply.shape(full)) != 1:
        raise WireError(f"site {reply.site} sent no {name}")
    found = reply.chunk(full, 0, reply.shape(full)[0])
    if found.dtype != dtype:
        raise WireError(f"site {reply.site} sent {name} of a wrong type")
    return found


def digest_of(sealed: Array) -> str:
    """Which context a ciphertext is of."""
    return hashlib.sha256(sealed.tobytes()).hexdigest()


def _ciphertexts(part: Spooled) -> Iterator[bytes]:
    sizes, name = array_in(part, "sizes", np.int64), f"{GROUP}/ciphertexts"
    ends = np.cumsum(sizes)
    for size, end in zip(sizes, ends, strict=True):
        yield part.chunk(name, int(end - size), int(end)).tobytes()
