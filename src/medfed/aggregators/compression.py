"""Smaller updates: 16 bits, 8 bits, and the largest elements only.

The format is `medfed.core.packing`'s; the coordinator unpacks chunk by chunk while it combines.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medfed.core.options import option
from medfed.core.packing import MARK, pack_bytes, pack_half, pack_sparse, unpack
from medfed.core.update import BUFFERS, Array, Tensors, Update, group, grouped

RESIDUAL = "residual"
"""The group of a site's memory that holds what was left out and is sent later."""

Split = Callable[[str, Array, float], tuple[Tensors, Array] | None]
"""Of a tensor's name, mean and weight: what is sent, and what is left of the mean.

None where it cannot be packed.
"""

_SMALLEST_HALF = 16  # below that the scale and its header entry outweigh what is saved


@dataclass(frozen=True, slots=True)
class HalfPrecision:
    """Floating tensors in 16 bits, scaled by a power of two; about half the bytes.

    The scale is that of mixed-precision training, one for each tensor: Micikevicius et al. 2018,
    "Mixed precision training" (arXiv 1710.03740), section 3.2. Errors are relative (2^-11) and
    are not carried over: they are far below the noise of a local epoch.
    """

    sparse: ClassVar[bool] = False

    def pack(self, update: Update, mine: Tensors) -> tuple[Update, Tensors]:
        """The update in half precision, and the site's memory as it was."""
        tensors: dict[str, Array] = {}
        for name, array in update.tensors.items():
            fits = _floating(name, array) and array.size >= _SMALLEST_HALF
            tensors.update(pack_half(name, array) if fits else {name: array})
        return Update(tensors, update.weights, update.stats), mine


@dataclass(frozen=True, slots=True)
class TopK:
    """The largest elements of each tensor; the site keeps the rest and adds it the next time.

    Sparse sending: Aji and Heafield 2017, "Sparse communication for distributed gradient descent"
    (arXiv 1704.05021). Error feedback: Seide et al. 2014, "1-bit stochastic gradient descent"
    (Interspeech); that it converges: Stich et al. 2018, "Sparsified SGD with memory"
    (arXiv 1809.07599), algorithm 1.

    What is kept is in units of the mean (tensor divided by weight), not of the weighted sum: the
    model moves by means, and a site whose weight changes between rounds would otherwise send
    what is left of a heavy round with a force that its light round does not have. For one site,
    the means sent and what is kept add up to the true means, whatever the weights were.

    It suits updates that are differences or gradients. Where sites send whole models, or where
    elements are ranked between sites (median), zeros for what was not sent would mislead.
    """

    sparse: ClassVar[bool] = True

    fraction: float = option(0.01, "share of a tensor's elements sent", above=0.0, high=0.5)
    smallest: int = option(1024, "tensors with fewer elements are sent whole", low=1)

    def pack(self, update: Update, mine: Tensors) -> tuple[Update, Tensors]:
        """The largest elements, and the site's memory with what was left out."""
        return _fed_back(update, mine, self.smallest, self._split)

    def _split(self, name: str, mean: Array, weight: float) -> tuple[Tensors, Array] | None:
        wanted = mean.reshape(-1)
        indices = largest(wanted, math.ceil(self.fraction * wanted.size))
        with np.errstate(over="ignore"):
            values = (wanted[indices] * weight).astype(np.float32)
        if not np.isfinite(values).all() or not np.isfinite(wanted).all():
            return None
        # What rounding to float32 took away is kept as well.
        wanted[indices] -= (values / np.float64(weight)).astype(wanted.dtype)
        return pack_sparse(name, mean.shape, indices, values), mean


@dataclass(frozen=True, slots=True)
class EightBits:
    """Floating tensors in 8 bits, a scale for each block; about a quarter of the bytes.

    Linear and block by block, so that one large element coarsens its own block only: Dettmers et
    al. 2022, "8-bit optimizers via block-wise quantization" (arXiv 2110.02861), section 2. An
    element is off by 1/254 of its block's largest at most, and what rounding took away is added
    the next time, in units of the mean as in `TopK`, whose sources for that hold here too.
    """

    sparse: ClassVar[bool] = False

    smallest: int = option(1024, "tensors with fewer elements are sent whole", low=1)

    def pack(self, update: Update, mine: Tensors) -> tuple[Update, Tensors]:
        """The update in 8 bits, and the site's memory with what rounding took away."""
        return _fed_back(update, mine, self.smallest, self._split)

    @staticmethod
    def _split(name: str, mean: Array, weight: float) -> tuple[Tensors, Array] | None:
        with np.errstate(over="ignore"):
            packed = pack_bytes(name, mean * np.asarray(weight, mean.dtype))
        if set(packed) == {name}:
            return None
        sent = unpack(packed)[name].astype(np.float64) / weight
        return packed, (mean - sent).astype(mean.dtype)


def _fed_back(update: Update, mine: Tensors, smallest: int, split: Split) -> tuple[Update, Tensors]:
    """Send what ``split`` says of each large tensor, and keep the rest for the next time."""
    tensors: dict[str, Array] = {}
    kept = dict(group(RESIDUAL, mine))
    for name, array in update.tensors.items():
        weight = update.weights.get(name.partition("/")[0], 0.0)
        suits = _floating(name, array) and array.size >= smallest and weight > 0.0
        mean = _wanted(array, weight, kept.get(name)) if suits else None
        parts = None if mean is None else split(name, mean, weight)
        if parts is None:
            tensors[name] = array
        else:
            packed, kept[name] = parts
            tensors.update(packed)
    others = {k: v for k, v in mine.items() if not k.startswith(f"{RESIDUAL}/")}
    return Update(tensors, update.weights, update.stats), {**others, **grouped(RESIDUAL, kept)}


def _wanted(array: Array, weight: float, residual: Array | None) -> Array:
    """The mean to send: this round's, and what was left out before."""
    mean = array / np.asarray(weight, array.dtype)
    if residual is not None and residual.shape == array.shape:
        mean += residual
    return mean


def largest(flat: Array, count: int) -> Array:
    """Positions of the ``count`` elements largest in magnitude, rising; zeros are left out.

    Of equal elements the first are taken, so the choice does not depend on how the machine sorts.

    Args:
        flat: Shape ``(size,)``.
        count: From 1 to ``size``.

    Returns:
        Shape ``(count,)``, or fewer where there are not so many that differ from zero.
    """
    size = np.abs(flat)
    least = np.partition(size, size.size - count)[size.size - count]
    above = np.flatnonzero(size > least)
    if not least > 0:
        return above
    equal = np.flatnonzero(size == least)[: count - above.size]
    return np.sort(np.concatenate([above, equal]))


def _floating(name: str, array: Array) -> bool:
    """Whether an array may be packed: buffers may hold counts, which must stay exact."""
    learns = MARK not in name and not name.startswith(f"{BUFFERS}/")
    return learns and array.dtype.kind == "f" and array.dtype.itemsize >= 4
