"""How each site's change lies to that of all: a measure of how unlike the sites are.

Where sites' data are alike their changes point the same way. The cosine between a site's change and
the aggregate is what Zhao et al. 2018, "Federated learning with non-IID data" (arXiv 1806.00582),
and Karimireddy et al. 2020 (arXiv 1910.06378) explain slow rounds with, as weight divergence and
client drift.
"""

import math
from collections.abc import Sequence

import numpy as np

from medfed.core.aggregator import Spooled
from medfed.core.update import MODEL, Array, Update

SAMPLE = 1 << 14
"""Elements of a tensor that are looked at, from its beginning: a large model costs no more time."""


def changes(updates: Sequence[Spooled], total: Update) -> dict[str, dict[str, float]]:
    """The direction and the length of each site's change.

    Args:
        updates: The sites' updates, which passed every check.
        total: What was made of them.

    Returns:
        For each site ``cosine``, between its change and the total, from -1 to 1, and ``norm``, the
        L2 norm of its mean change, and ``weight``, what it counts for; of the first `SAMPLE`
        elements of each of the model's tensors. A site whose change has no direction is left out.
    """
    own, common = dict.fromkeys((each.site for each in updates), 0.0), 0.0
    along = dict(own)
    with np.errstate(over="ignore", invalid="ignore"):
        for name, tensor in total.tensors.items():
            if name.partition("/")[0] != MODEL:
                continue
            whole = _wide(tensor.reshape(-1)[:SAMPLE])
            common += _product(whole, whole)
            for each in updates:
                if name in each.names():
                    part = _wide(each.chunk(name, 0, whole.size))
                    own[each.site] += _product(part, part)
                    along[each.site] += _product(part, whole)
    found = {each.site: _told(each, own, along, common) for each in updates}
    return {site: told for site, told in found.items() if told}


def _told(
    update: Spooled, own: dict[str, float], along: dict[str, float], common: float
) -> dict[str, float]:
    length, weight = math.sqrt(own[update.site]), float(update.weights().get(MODEL, 0.0))
    both = length * math.sqrt(common)
    if not (math.isfinite(both) and both > 0 and weight > 0):
        return {}
    cosine = min(1.0, max(-1.0, along[update.site] / both))
    return {"cosine": cosine, "norm": length / weight, "weight": weight}


def _product(one: Array, other: Array) -> float:
    # Not BLAS: its threads wait for one another far longer than so short a sum takes, and their
    # number would change its last bits.
    return float(np.einsum("i,i->", one, other))


def _wide(flat: Array) -> Array:
    return flat.astype(np.float64, copy=False)
