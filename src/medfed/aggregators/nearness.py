"""Not taking a site's word for how near it is to the estimate.

In the geometric median each site weighs its own model by its nearness. A wrong site would simply
claim to be near. The coordinator has what the site sent, so it works the distance out again, and
gives the site the weight that it should have given itself.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medfed.aggregators.chunks import CHUNK
from medfed.core.aggregator import Spooled
from medfed.core.update import Array, Tensors

CLOSE = 1e-3
"""A claim this near to the truth differs by rounding; it is left as it is, to the bit."""

Weights = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Reweighed(Spooled):
    """A reply whose tensors and weights count by a factor for each group: its means stay."""

    reply: Spooled
    factors: Weights
    site: str

    def names(self) -> Sequence[str]:
        return self.reply.names()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.reply.shape(name)

    def chunk(self, name: str, start: int, stop: int) -> Array:
        piece = self.reply.chunk(name, start, stop)
        return np.multiply(piece, np.float64(self.factors[_group(name)]))

    def weights(self) -> Weights:
        return {name: w * self.factors[name] for name, w in self.reply.weights().items()}

    def stats(self) -> Tensors:
        return self.reply.stats()


def checked(
    replies: Iterable[Spooled], estimate: Tensors, patients: Mapping[str, Weights], least: float
) -> list[Spooled]:
    """The replies of one exchange, each with the weight that its distance gives it.

    Args:
        replies: Sites' weighted models.
        estimate: What they were sent, by full tensor name.
        patients: For each site the weights it gave at first.
        least: The distance below which a site counts no more than at it (ν).
    """
    found: list[Spooled] = []
    for reply in replies:
        if set(reply.names()) != set(estimate) or reply.site not in patients:
            continue  # nothing to compare: it cannot be believed
        nearness = 1.0 / max(least, _distance(reply, estimate))
        due = {name: weight * nearness for name, weight in patients[reply.site].items()}
        factors = {name: due[name] / claimed for name, claimed in reply.weights().items()}
        honest = all(abs(factor - 1.0) <= CLOSE for factor in factors.values())
        found.append(reply if honest else _Reweighed(reply, factors, reply.site))
    return found


def _distance(reply: Spooled, estimate: Tensors) -> float:
    """The Euclidean distance of a reply's means from the estimate, all tensors as one vector."""
    norm, weights = 0.0, reply.weights()
    for name, value in estimate.items():
        flat, weight = value.reshape(-1), weights[_group(name)]
        for start in range(0, flat.size, CHUNK):
            stop = min(start + CHUNK, flat.size)
            apart = reply.chunk(name, start, stop).astype(np.float64) / weight - flat[start:stop]
            norm = math.hypot(norm, math.sqrt(float(np.einsum("i,i->", apart, apart))))
    return norm


def _group(name: str) -> str:
    return name.partition("/")[0]
