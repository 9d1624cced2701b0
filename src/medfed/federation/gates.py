"""What is looked at once a round's updates lie side by side, before any of them is combined.

Each update by itself has passed `medfed.federation.spool.check_update` by then: its form, its
weights, no NaN and no infinity.
"""

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

from medfed.core.packing import PackedUpdate
from medfed.core.update import BUFFERS

Complaints = dict[str, str]
"""Sites that are left out, and why, in words that may be shown to anybody."""


def unlike_others(updates: Mapping[str, PackedUpdate]) -> Complaints:
    """Sites that sent other tensors than most sites did.

    A rule that compares sites compares nothing where one site alone sends a tensor: it could send
    ``buffers/w`` where all others send ``model/w``, and would decide by itself where w goes.

    Args:
        updates: By site, in site order; of equally many forms the first site's is right.
    """
    forms = {site: frozenset(update.names()) for site, update in updates.items()}
    usual = Counter(forms.values()).most_common(1)[0][0] if forms else frozenset()
    found = {}
    for site, names in forms.items():
        odd = sorted(names ^ usual)
        if odd:
            verb = "holds" if odd[0] in names else "lacks"
            found[site] = f"the update {verb} {odd[0][:80]!r}, unlike those of most sites"
    return found


def too_large(updates: Mapping[str, PackedUpdate], limit: float) -> Complaints:
    """Sites whose change is more than ``limit`` times as long as the median of all.

    Args:
        updates: By site.
        limit: 0 for none.
    """
    if not limit:
        return {}
    norms = {site: change_norm(update) for site, update in updates.items()}
    usual = float(np.median(list(norms.values()))) if norms else 0.0
    return {
        site: f"its change is {norm / usual:.3g} times as long as the median, "
        f"the limit is {limit:g}"
        for site, norm in norms.items()
        if usual > 0 and norm > limit * usual
    }


def change_norm(update: PackedUpdate) -> float:
    """The L2 norm of a site's mean change: its tensors divided by their weights, but for buffers.

    Args:
        update: One that passed `medfed.federation.spool.check_update`.
    """
    norm, weights = 0.0, update.weights()
    for name, packed in update.packed.items():
        group = name.partition("/")[0]
        if group != BUFFERS:
            for piece in packed.pieces():
                wide = piece.astype(np.float64, copy=False) / weights[group]
                norm = math.hypot(norm, math.sqrt(float(np.einsum("i,i->", wide, wide))))
    return norm
