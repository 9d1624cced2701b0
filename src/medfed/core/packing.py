"""How tensors travel smaller, and how a piece of one is read back.

Inside the tensors of an `Update` a name ``group/name`` stands for one of four things:

========  ==============================================================================
dense     ``group/name``, as it is
half      ``group/name`` in float16 and ``group/name::scale``, one float32: a power of two
bytes     ``group/name`` in int8 and ``group/name::scales``, one float32 for each block of
          1,024 elements of the flat tensor
sparse    ``group/name::indices`` (flat, rising, int32 or int64), ``group/name::values``
          (float32) and ``group/name::shape`` (int64)
========  ==============================================================================

Packed tensors are float32 when read back; everything else reads as zero.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from medfed.core.errors import WireError
from medfed.core.update import Array, Tensors, Update

MARK = "::"
"""Divides a tensor's name from a companion's; no other name may hold it."""

PIECE = 1 << 14
"""Elements that are looked at together when a tensor is checked: they stay in the first cache."""

BLOCK = 1024
"""Elements that share a scale where a tensor is packed into bytes."""

_LEVELS = 127  # as many on each side of zero, so that -128 is not used
_INT32_SIZES = 2**31


class Packed(Protocol):
    """One tensor, however it is packed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape when unpacked."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its type when unpacked; never float16."""

    def chunk(self, start: int, stop: int) -> Array:
        """Flat elements ``start:stop``, unpacked, shape ``(stop - start,)``."""

    def pieces(self) -> Iterator[Array]:
        """All elements that may differ from zero, a few at a time, unpacked."""

    def flaw(self) -> str:
        """What is wrong with the packing itself, in words; empty when it is sound."""


@dataclass(frozen=True, slots=True)
class Dense:
    """A tensor as it is; ``flat`` holds its elements, shape ``(size,)``."""

    shape: tuple[int, ...]
    flat: Array

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements, float32 for float16."""
        return np.dtype(np.float32) if self.flat.dtype == np.float16 else self.flat.dtype

    def chunk(self, start: int, stop: int) -> Array:
        """Flat elements ``start:stop``: a view where nothing has to be converted."""
        return self.flat[start:stop].astype(self.dtype, copy=False)

    def pieces(self) -> Iterator[Array]:
        """All elements."""
        return _in_pieces(self, self.flat.size)

    def flaw(self) -> str:
        """Nothing can be wrong with it."""
        return ""


@dataclass(frozen=True, slots=True)
class Half:
    """A tensor in half precision: ``flat`` (float16, shape ``(size,)``) times ``scale``."""

    shape: tuple[int, ...]
    flat: Array
    scale: np.float32

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32."""
        return np.dtype(np.float32)

    def chunk(self, start: int, stop: int) -> Array:
        """Flat elements ``start:stop``; exact, because the scale is a power of two."""
        with np.errstate(over="ignore"):
            return self.flat[start:stop].astype(np.float32) * self.scale

    def pieces(self) -> Iterator[Array]:
        """All elements."""
        return _in_pieces(self, self.flat.size)

    def flaw(self) -> str:
        """Whether the scale is a power of two."""
        scale = float(self.scale)
        sound = math.isfinite(scale) and scale > 0 and math.frexp(scale)[0] == 0.5
        return "" if sound else "has a scale that is not a power of two"


@dataclass(frozen=True, slots=True)
class Bytes:
    """A tensor in 8 bits: ``flat`` (int8, shape ``(size,)``) times its block's scale."""

    shape: tuple[int, ...]
    flat: Array
    scales: Array

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32."""
        return np.dtype(np.float32)

    def chunk(self, start: int, stop: int) -> Array:
        """Flat elements ``start:stop``."""
        first = start // BLOCK
        scales = np.repeat(self.scales[first : -(-stop // BLOCK)], BLOCK)
        offset = start - first * BLOCK
        with np.errstate(over="ignore"):
            unpacked: Array = self.flat[start:stop] * scales[offset : offset + stop - start]
            return unpacked

    def pieces(self) -> Iterator[Array]:
        """All elements."""
        return _in_pieces(self, self.flat.size)

    def flaw(self) -> str:
        """Whether the scales are finite and not negative."""
        sound = np.isfinite(self.scales).all() and not np.signbit(self.scales).any()
        return "" if sound else "has a scale that is negative or not finite"


@dataclass(frozen=True, slots=True)
class Sparse:
    """A few elements of a tensor: ``indices`` and ``values``, both of shape ``(stored,)``."""

    shape: tuple[int, ...]
    indices: Array
    values: Array

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32."""
        return np.dtype(np.float32)

    def chunk(self, start: int, stop: int) -> Array:
        """Flat elements ``start:stop``, zero where nothing was sent."""
        piece = np.zeros(stop - start, np.float32)
        # Keys of the same type: others would make numpy convert (and copy) all indices.
        first, last = np.searchsorted(self.indices, np.array([start, stop], self.indices.dtype))
        piece[self.indices[first:last] - start] = self.values[first:last]
        return piece

    def pieces(self) -> Iterator[Array]:
        """The elements that were sent."""
        return (self.values[i : i + PIECE] for i in range(0, self.values.size, PIECE))

    def flaw(self) -> str:
        """Whether the indices rise and stay inside the tensor."""
        if self.indices.size == 0:
            return ""
        if self.indices[0] < 0 or self.indices[-1] >= math.prod(self.shape):
            return "has indices outside its shape"
        for i in range(0, self.indices.size, PIECE):
            some = self.indices[i : i + PIECE + 1]
            if not np.all(some[1:] > some[:-1]):
                return "has indices that are not in rising order"
        return ""


class PackedUpdate:
    """One site's update read piece by piece: implements `medfed.core.aggregator.Spooled`.

    Args:
        site: Whose it is.
        update: The update, its tensors packed or not; nothing of it is copied.

    Raises:
        WireError: A tensor is packed in a way that this version does not know.
    """

    def __init__(self, site: str, update: Update) -> None:
        self.site = site
        self.packed = logical(update.tensors)
        self._update = update

    def names(self) -> Sequence[str]:
        """Names of its tensors, ``group/name``, without companions."""
        return tuple(self.packed)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one tensor, unpacked."""
        return self.packed[name].shape

    def chunk(self, name: str, start: int, stop: int) -> Array:
        """Flat elements ``start:stop`` of one tensor, unpacked, float32 or wider."""
        return self.packed[name].chunk(start, stop)

    def weights(self) -> Mapping[str, float]:
        """The weight of each tensor group."""
        return self._update.weights

    def stats(self) -> Tensors:
        """Its additive statistics."""
        return self._update.stats

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays as they were sent."""
        arrays = (*self._update.tensors.values(), *self._update.stats.values())
        return sum(a.nbytes for a in arrays) + 8 * len(self._update.weights)


def logical(tensors: Tensors) -> dict[str, Packed]:
    """The tensors that some arrays stand for, by name, companions taken in.

    Raises:
        WireError: Companions are missing, unknown, or of the wrong type or shape.
    """
    members: dict[str, dict[str, Array]] = {}
    for name, array in tensors.items():
        base, _, companion = name.partition(MARK)
        members.setdefault(base, {})[companion] = array
    return {name: _packed(name, arrays) for name, arrays in members.items()}


def unpack(tensors: Tensors) -> dict[str, Array]:
    """All tensors dense and whole: for small updates that need no spool."""
    return {
        name: packed.chunk(0, math.prod(packed.shape)).reshape(packed.shape)
        for name, packed in logical(tensors).items()
    }


def pack_half(name: str, array: Array) -> dict[str, Array]:
    """Pack one floating tensor into half precision.

    The scale brings the largest element to between 2^14 and 2^15, near the top of what float16
    holds, so that elements down to 2^-29 of it keep 11 bits. Relative error 2^-11 there, absolute
    error 2^-40 of the largest below.

    Args:
        name: ``group/name``.
        array: Any shape; returned as it is where float16 cannot hold it (NaN, infinity).

    Returns:
        ``name`` and its companion.
    """
    peak = float(max(array.max(), -array.min())) if array.size else 0.0
    if not peak <= float(np.finfo(np.float32).max):
        return {name: array}
    exponent = max(math.frexp(peak)[1] - 15, -126) if peak else 0
    half = (array * np.float32(2.0**-exponent)).astype(np.float16)
    return {name: half, f"{name}{MARK}scale": np.array(2.0**exponent, np.float32)}


def pack_bytes(name: str, array: Array) -> dict[str, Array]:
    """Pack one floating tensor into 8 bits, each block of `BLOCK` elements with a scale of its own.

    The scale is the block's largest element over 127; the absolute error is half the scale at most.

    Args:
        name: ``group/name``.
        array: Any shape, not empty; returned as it is where float32 cannot hold it (NaN, infinity).

    Returns:
        ``name`` and its companion.
    """
    flat = array.reshape(-1)
    starts = np.arange(0, flat.size, BLOCK)
    peaks = np.maximum(np.maximum.reduceat(flat, starts), -np.minimum.reduceat(flat, starts))
    if not np.all(peaks <= np.finfo(np.float32).max):
        return {name: array}
    scales = (peaks / _LEVELS).astype(np.float32)
    # Below float32's normal numbers a scale is too coarse to count with: that block is zero.
    scales[scales < np.finfo(np.float32).tiny] = 0.0
    each = np.repeat(np.where(scales > 0.0, scales, 1.0), BLOCK)[: flat.size]
    levels = np.rint(flat / each).astype(np.int8)
    return {name: levels.reshape(array.shape), f"{name}{MARK}scales": scales}


def pack_sparse(
    name: str, shape: tuple[int, ...], indices: Array, values: Array
) -> dict[str, Array]:
    """Pack a few elements of a tensor.

    Args:
        name: ``group/name``.
        shape: Shape of the whole tensor.
        indices: Flat positions, rising, shape ``(stored,)``.
        values: The elements there, shape ``(stored,)``.

    Returns:
        The three companions that stand for ``name``.
    """
    kind = np.int32 if math.prod(shape) < _INT32_SIZES else np.int64
    return {
        f"{name}{MARK}indices": np.asarray(indices, kind),
        f"{name}{MARK}values": np.asarray(values, np.float32),
        f"{name}{MARK}shape": np.array(shape, np.int64),
    }


def _in_pieces(tensor: Packed, size: int) -> Iterator[Array]:
    return (tensor.chunk(i, min(i + PIECE, size)) for i in range(0, size, PIECE))


def _packed(name: str, members: Mapping[str, Array]) -> Packed:
    found = set(members)
    if found == {""}:
        array = members[""]
        return Dense(array.shape, array.reshape(-1))
    if found == {"", "scale"}:
        return _half(name, members[""], members["scale"])
    if found == {"", "scales"}:
        return _bytes(name, members[""], members["scales"])
    if found == {"indices", "values", "shape"}:
        return _sparse(name, members["indices"], members["values"], members["shape"])
    raise _unsound(name, "is packed in an unknown way")


def _half(name: str, array: Array, scale: Array) -> Half:
    if array.dtype != np.float16 or scale.dtype != np.float32 or scale.shape != ():
        raise _unsound(name, "has a scale but is not in half precision")
    return Half(array.shape, array.reshape(-1), np.float32(scale))


def _bytes(name: str, array: Array, scales: Array) -> Bytes:
    if array.dtype != np.int8 or scales.dtype != np.float32:
        raise _unsound(name, "has scales but is not in 8 bits")
    if scales.shape != (-(-array.size // BLOCK),):
        raise _unsound(name, "has not one scale for each block")
    return Bytes(array.shape, array.reshape(-1), scales)


def _sparse(name: str, indices: Array, values: Array, shape: Array) -> Sparse:
    if shape.dtype != np.int64 or shape.ndim != 1 or shape.size > 32 or np.any(shape < 0):
        raise _unsound(name, "has a shape that is none")
    whole = tuple(int(n) for n in shape)
    kinds = (np.int32, np.int64) if math.prod(whole) < _INT32_SIZES else (np.int64,)
    if indices.dtype not in kinds or values.dtype != np.float32:
        raise _unsound(name, "has indices or values of the wrong type")
    if indices.ndim != 1 or indices.shape != values.shape:
        raise _unsound(name, "has not one index for each value")
    return Sparse(whole, indices, values)


def _unsound(name: str, what: str) -> WireError:
    remedy = "Install the same version of medfed at both ends"
    return WireError(f"the tensor {name[:80]!r} {what}", remedy=remedy)
