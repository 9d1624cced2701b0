"""Updates on the wire and in the spool: safetensors, read in place, trusted in nothing.

Keys say what an array is: ``t:group/name`` a tensor (packed companions included), ``w:group`` a
group's weight (float64, shape ``()``), ``s:name`` a statistic. Reading makes views of the buffer,
so an update that lies in a mapped file costs no memory until a piece of it is looked at, and then
only page cache. Nothing is unpickled, and whatever the bytes are, they give an `Update` or a
`WireError`.
"""

import json
import math
import mmap
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from medfed.core.errors import WireError
from medfed.core.files import Buffer
from medfed.core.no_pickles import unpickling_refused
from medfed.core.packing import MARK, PIECE, Dense, Packed, PackedUpdate, Sparse, logical
from medfed.core.update import Array, Tensors, Update
from medfed.core.vault import OPEN, Blob, LazyArray, Vault

MAX_HEADER = 16 * 1024 * 1024
"""Bytes a header may have: room for a hundred thousand tensors."""
MAX_WEIGHT = 1e15
"""The largest weight of a group: beyond, float64 sums lose whole patients."""
MIN_WEIGHT = 1e-100
MAX_NORM = 1e45
"""The least weight and the largest norm: so the square of a mean fits into float64, and no site can
end a round by numbers that are too large. All of float32 lies far within."""

LARGE = 16 * 1024 * 1024
"""Bytes from which a payload that is kept for long does not stay in this process's memory."""

LAZY = 64 * 1024
"""Bytes from which a tensor in a sealed file is opened piece by piece."""

_AT_HAND = (bytes, bytearray, memoryview, mmap.mmap)

Expected = Mapping[str, tuple[tuple[int, ...], Any]]
"""For each tensor its shape and its dtype (or the dtype's name)."""

_DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(kind)
    for name, kind in {
        "F64": "<f8", "F32": "<f4", "F16": "<f2",
        "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
        "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
    }.items()
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_RANKS = {_DTYPES[name]: rank for rank, name in enumerate(
    ("U64", "I64", "F64", "F32", "U32", "I32", "F16", "U16", "I16", "I8", "U8")
)}  # fmt: skip
"""In which order safetensors writes arrays."""


class SpooledUpdate(PackedUpdate):
    """A site's update as it lies in a file, mapped and never loaded whole.

    Args:
        path: The file, as `encode_update` made it.
        site: Whose it is.
        update: What the file holds, where that is small and at hand: then it is not mapped.
        vault: How the file lies there; a sealed one is opened in memory, where it is read.

    Raises:
        WireError: The file is not an update.
        OSError: The file cannot be opened.
    """

    def __init__(
        self, path: Path, site: str, update: Update | None = None, vault: Vault = OPEN
    ) -> None:
        self.path = path
        if update is None:
            update = decode_update(vault.blob(path) if vault.sealed else _mapped(path))
        super().__init__(site, update)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise _malformed("is empty")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def parked(payload: bytes, folder: Path) -> Buffer:
    """The same bytes; many of them lie in a file without a name, which goes when they do.

    Raises:
        OSError: The disk is full or refuses.
    """
    if len(payload) < LARGE:
        return payload
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(payload)
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def encode_update(update: Update) -> bytes:
    """An update as one safetensors blob; its arrays are copied once, into the result.

    Raises:
        WireError: A name or a type cannot travel, or a tensor is packed wrongly.
    """
    logical(update.tensors)
    arrays = {
        **{f"t:{name}": np.asarray(a, order="C") for name, a in update.tensors.items()},
        **{f"w:{name}": np.array(w, np.float64) for name, w in update.weights.items()},
        **{f"s:{name}": np.asarray(a, order="C") for name, a in update.stats.items()},
    }
    for key, array in arrays.items():
        if array.dtype not in _NAMES:
            raise WireError(f"{key[2:]!r} is of type {array.dtype}, which cannot travel")
    ordered = dict(sorted(arrays.items(), key=lambda item: (_RANKS[item[1].dtype], item[0])))
    # What safetensors' serialize gives, to the byte, in half its time: each array is copied once.
    return b"".join((_head(ordered), *(_bytes(array) for array in ordered.values())))


def _head(arrays: Mapping[str, Array]) -> bytes:
    """What comes before arrays that follow one another: where each lies."""
    table, end = {}, 0
    for key, array in arrays.items():
        span = [end, end := end + array.nbytes]
        table[key] = {"dtype": _NAMES[array.dtype], "shape": array.shape, "data_offsets": span}
    try:
        text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise WireError("a name holds half a character, and cannot travel") from None
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes(array: Array) -> Buffer:
    return array.reshape(-1).view(np.uint8).data


@unpickling_refused()
def decode_update(blob: Buffer | mmap.mmap | Blob) -> Update:
    """The update that a blob holds; its arrays are read-only views of the blob.

    Of a `medfed.core.vault.Blob` large tensors are read only where a piece of them is asked for.

    Raises:
        WireError: The blob is not an update.
    """
    parts: dict[str, dict[str, Array]] = {"t": {}, "w": {}, "s": {}}
    for key, array in _views(blob):
        kind, colon, name = key.partition(":")
        if kind not in parts or not colon or not name:
            raise _malformed(f"holds {_quoted(key)}, which is no tensor, weight or statistic")
        parts[kind][name] = array
    weights = {name: _weight(name, array) for name, array in parts["w"].items()}
    logical(parts["t"])
    return Update(parts["t"], weights, parts["s"])


def check_update(
    update: Update | PackedUpdate,
    expected: Expected | None = None,
    *,
    optional: Collection[str] = (),
    max_bytes: int | None = None,
) -> float:
    """Look through an update that came from outside, before anything is done with it.

    Args:
        update: The update, or its file in the spool.
        expected: The tensors it must hold; None when any will do (but no sparse ones).
        optional: Groups that may be absent as a whole.
        max_bytes: How many bytes its arrays may have together.

    Returns:
        The L2 norm of its tensors as they were sent, that is, multiplied by their weights.

    Raises:
        WireError: What is wrong with it, in a sentence that may be shown to anybody.
    """
    held = PackedUpdate("", update) if isinstance(update, Update) else update
    if max_bytes is not None and held.nbytes > max_bytes:
        raise WireError(f"the update has {held.nbytes} bytes and may have {max_bytes}")
    if expected is None:
        _check_nothing_grows(held.packed)
    else:
        _check_shapes(held.packed, expected, optional)
    _check_weights(held)
    _check_stats(held.stats())
    norm = 0.0
    for name, packed in held.packed.items():
        norm = math.hypot(norm, _checked_norm(name, packed))
    return norm


def _views(blob: Buffer | mmap.mmap | Blob) -> Iterator[tuple[str, Array]]:
    """The arrays of a safetensors blob, each where the header says, none overlapping."""
    size = len(blob)
    length = int.from_bytes(_stretch(blob, 0, 8), "little") if size >= 8 else 0
    if length > MAX_HEADER:
        raise _malformed("has a header that is too large")
    if length < 2 or length > size - 8:
        raise _malformed("is cut off")
    header = _header(bytes(_stretch(blob, 8, 8 + length)))
    spans = sorted((_span(key, entry) for key, entry in header.items()), key=lambda span: span[1])
    end = 0
    for key, (start, stop), dtype, shape in spans:
        if start != end:
            raise _malformed("has tensors that overlap or leave gaps")
        end = stop
        if end > size - 8 - length:
            raise _malformed("is cut off")
        yield key, _view(blob, key, 8 + length + start, dtype, shape)
    if end != size - 8 - length:
        raise _malformed("has bytes that belong to no tensor")


def _stretch(blob: Buffer | mmap.mmap | Blob, start: int, stop: int) -> Buffer:
    return blob[start:stop] if isinstance(blob, _AT_HAND) else blob.read(start, stop)


Span = tuple[str, tuple[int, int], np.dtype[Any], tuple[int, ...]]


def _header(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode(), object_pairs_hook=_without_duplicates)
        "".join(header).encode()  # JSON can spell halves of characters
    except (ValueError, TypeError, RecursionError) as error:
        raise _malformed("has a header that is not JSON") from error
    if not isinstance(header, dict) or raw[:1] != b"{":
        raise _malformed("has a header that is no table")
    return header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _span(key: str, entry: object) -> Span:
    """One line of the header, every field looked at before it is used."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _malformed(f"describes {_quoted(key)} wrongly")
    dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise _malformed(f"gives {_quoted(key)} a type that cannot travel")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2 or len(shape) > 32:
        raise _malformed(f"describes {_quoted(key)} wrongly")
    start, stop = offsets
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise _malformed(f"has not as many bytes as the shape of {_quoted(key)} needs")
    return key, (start, stop), dtype, tuple(shape)


def _sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**62 for n in value)


def _view(
    blob: Buffer | mmap.mmap | Blob,
    key: str,
    offset: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
) -> Array:
    count = math.prod(shape)
    if offset % dtype.itemsize:
        raise _malformed(f"does not align {_quoted(key)}")
    try:
        if count == 0:
            return np.empty(shape, dtype)
        if not isinstance(blob, _AT_HAND):
            if count * dtype.itemsize > LAZY and key.startswith("t:") and MARK not in key:
                return cast(Array, LazyArray(blob, offset, dtype, shape))
            blob, offset = _stretch(blob, offset, offset + count * dtype.itemsize), 0
        view = np.frombuffer(blob, dtype, count, offset).reshape(shape)
    except (ValueError, MemoryError) as error:  # an empty tensor with absurd other dimensions
        raise _malformed(f"gives {_quoted(key)} a shape that is too large") from error
    view.flags.writeable = False
    return view


def _weight(name: str, array: Array) -> float:
    if array.dtype != np.float64 or array.shape != ():
        raise _malformed(f"has a weight of {_quoted(name)} that is not one number")
    return float(array)


def _check_shapes(
    packed: Mapping[str, Packed], expected: Expected, optional: Collection[str]
) -> None:
    for name in packed:
        if name not in expected:
            raise WireError(f"the update holds an unknown tensor, {_quoted(name)}")
    present = {name.partition("/")[0] for name in packed}
    for name, (shape, dtype) in expected.items():
        group = name.partition("/")[0]
        if name in packed:
            _check_kind(name, packed[name], tuple(shape), np.dtype(dtype))
        elif group in present or group not in optional:
            raise WireError(f"the update lacks the tensor {_quoted(name)}")


def _check_nothing_grows(packed: Mapping[str, Packed]) -> None:
    """Without expected shapes a few bytes could claim to be a tensor that fills the memory."""
    for name, tensor in packed.items():
        if isinstance(tensor, Sparse):
            raise WireError(f"the tensor {_quoted(name)} is sparse, which nobody asked for")


def _check_kind(name: str, packed: Packed, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if packed.shape != shape:
        raise WireError(f"the tensor {_quoted(name)} has shape {packed.shape} instead of {shape}")
    # Packed tensors unpack to float32, whatever floating type they had.
    same = packed.dtype == dtype
    narrowed = packed.dtype == np.float32 and dtype.kind == "f" and not isinstance(packed, Dense)
    if not same and not narrowed:
        raise WireError(f"the tensor {_quoted(name)} is {packed.dtype} instead of {dtype}")


def _check_weights(update: PackedUpdate) -> None:
    weights = update.weights()
    for name in update.names():
        group, slash, rest = name.partition("/")
        if not slash or not rest:
            raise WireError(f"the tensor {_quoted(name)} belongs to no group")
        if group not in weights:
            raise WireError(f"the update lacks the weight of the group {_quoted(group)}")
    for group, weight in weights.items():
        if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
            raise WireError(f"the weight of {_quoted(group)} cannot be {weight:g}")


def _check_stats(stats: Tensors) -> None:
    """Refuse statistics with NaN, infinity or numbers that are too large."""
    if sum(np.size(array) for array in stats.values()) <= PIECE and _all_sound(stats):
        return  # at one go, as they nearly always are: they are many and small
    for name, array in stats.items():
        _norm(f"statistic {_quoted(name)}", _in_chunks(np.asarray(array)))


def _all_sound(stats: Tensors) -> bool:
    flat = [np.asarray(array).reshape(-1) for array in stats.values()]
    if not flat:
        return True
    with np.errstate(over="ignore"):
        return bool(np.abs(np.concatenate(flat, dtype=np.float64)).sum() <= MAX_NORM)


def _checked_norm(name: str, packed: Packed) -> float:
    flaw = packed.flaw()
    if flaw:
        raise WireError(f"the tensor {_quoted(name)} {flaw}")
    return _norm(f"tensor {_quoted(name)}", packed.pieces())


def _norm(what: str, pieces: Iterator[Array]) -> float:
    """The L2 norm of a tensor; refuses NaN and infinity, which would show in it."""
    total = 0.0
    for piece in pieces:
        total = math.hypot(total, _piece_norm(what, piece))
    if not total <= MAX_NORM:
        raise WireError(f"the {what} holds numbers that are too large")
    return total


def _piece_norm(what: str, piece: Array) -> float:
    # einsum: as quick as BLAS here, and the same bits whatever the number of threads.
    square = float(np.einsum("i,i->", piece, piece)) if piece.dtype.kind == "f" else 0.0
    if 1e-20 < square < 1e30:
        return math.sqrt(square)
    wide = np.abs(piece.astype(np.float64))
    if not np.isfinite(wide).all():
        raise WireError(f"the {what} holds NaN or infinity")
    peak = float(wide.max(initial=0.0))
    return peak * math.sqrt(float(np.square(wide / peak).sum())) if peak else 0.0


def _in_chunks(array: Array) -> Iterator[Array]:
    return logical({"": array})[""].pieces()


def _quoted(name: str) -> str:
    return repr(name[:80])


def _malformed(what: str) -> WireError:
    return WireError(f"the payload {what}", remedy="Send it again; it may have been damaged")
