"""How far sites' updates lie from each other, found chunk by chunk: what the rules below rank by.

All of them follow from one small matrix, the inner products of the sites' means: two passes over
the spooled files are enough, whatever the rule then does with it. Every site counts the same, as
in `medfed.aggregators.robust`.

Distances are those of what training moves. Buffers (running statistics, counters of batches) have
scales of their own, and a counter would drown every weight; they are combined by the median of
each element, and so is a tensor that only some sites sent.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from medfed.aggregators.chunks import CHUNK, PHASE, Rule, Sent, combine
from medfed.aggregators.robust import median
from medfed.core.aggregator import Ask, Gathered, Spooled
from medfed.core.errors import RunError
from medfed.core.update import BUFFERS, Array, Tensors

PIECE = 1 << 13
"""Elements of each site multiplied at a time: those of a dozen sites stay in the second cache.
Fixed, because sums over elements depend on where they are cut."""

Choose = Callable[[Array], Rule]
"""Makes the rule of a round from the matrix of inner products."""


def gather_by_distance(ask: Ask, choose: Choose, centre: Tensors | None = None) -> Gathered:
    """Ask for the updates, look at their distances, and combine them by what was found.

    Args:
        ask: Sends one phase and gives the replies.
        choose: Makes the rule; see `inner_products` for what it is given.
        centre: One more point beside the sites', by full tensor name; zero where it lacks one.
    """
    spooled = ask(PHASE, {})
    names = compared(spooled)
    rule: Rule = median
    if names:
        chosen = choose(inner_products(spooled, names, centre))

        def rule(sent: Sent, start: int, stop: int) -> Array:
            return (chosen if sent.name in names else median)(sent, start, stop)

    return Gathered(
        total=combine(spooled, rule, max(CHUNK // max(len(spooled), 1), 256)),
        participants=tuple(s.site for s in spooled),
        by_site={s.site: s.stats() for s in spooled},
    )


def compared(spooled: Sequence[Spooled]) -> frozenset[str]:
    """The tensors that distances go by: what every site sent, without buffers."""
    if not spooled:
        return frozenset()
    common = frozenset.intersection(*(frozenset(s.names()) for s in spooled))
    return frozenset(name for name in common if not name.startswith(f"{BUFFERS}/"))


def inner_products(
    spooled: Sequence[Spooled], names: frozenset[str], centre: Tensors | None = None
) -> Array:
    """The inner products of the sites' means, all tensors taken as one vector.

    Args:
        spooled: The sites' replies, in site order.
        names: The tensors that count.
        centre: A further point, which comes last.

    Returns:
        float64, shape ``(points, points)``, symmetric. The same bits whatever the number of
        threads.
    """
    points = len(spooled) + (centre is not None)
    products = np.zeros((points, points))
    rows = np.zeros((points, PIECE))
    for name in sorted(names):
        weights = [s.weights()[name.partition("/")[0]] for s in spooled]
        still = None if centre is None else centre.get(name)
        size = math.prod(spooled[0].shape(name))
        for start in range(0, size, PIECE):
            stop = min(start + PIECE, size)
            some = rows[:, : stop - start]
            for row, site, weight in zip(some, spooled, weights, strict=False):
                np.divide(site.chunk(name, start, stop), weight, out=row)
            if centre is not None:
                some[-1] = 0.0 if still is None else still.reshape(-1)[start:stop]
            for i in range(points):
                products[i, : i + 1] += np.einsum("k,jk->j", some[i], some[: i + 1])
    return products + np.tril(products, -1).T


def squared_distances(products: Array) -> Array:
    """The squared distance of each pair of points, from their inner products."""
    own = np.diag(products)
    found = np.maximum(own[:, None] + own[None, :] - 2.0 * products, 0.0)
    np.fill_diagonal(found, 0.0)
    return found


def means(sent: Sent, start: int, stop: int) -> Array:
    """The sites' means of some elements, float64, shape ``(sites, stop - start)``."""
    rows = np.empty((len(sent.senders), stop - start))
    for row, site, weight in zip(rows, sent.senders, sent.weights(), strict=True):
        np.divide(site.chunk(sent.name, start, stop), weight, out=row)
    return rows


def enough(rule: str, sites: int, least: int) -> None:
    """Complain where a round has fewer sites than a rule needs to hold.

    Raises:
        RunError: With fewer, the rule would protect from nobody.
    """
    if sites < least:
        message = f"{rule} needs {least} usable replies and a round has {sites}"
        raise RunError(message, remedy=f"Raise min_sites to {least}, or lower wrong")
