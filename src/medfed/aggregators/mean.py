"""The weighted mean: the sum that nearly every federated algorithm counts on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medfed.aggregators.chunks import Sent, answer_once, gather_once
from medfed.core.aggregator import Ask, Gathered
from medfed.core.update import Array, Tensors, Update


@dataclass(frozen=True, slots=True)
class Mean:
    """Sites' updates added up; divided by the total weight they are the weighted mean.

    Sums run in float64 and in site order, and are rounded once, at the end. McMahan et al. 2017,
    "Communication-efficient learning of deep networks from decentralized data" (arXiv 1602.05629).
    """

    sees_sites: ClassVar[bool] = True
    linear: ClassVar[bool] = True

    def gather(self, ask: Ask, memory: Tensors) -> Gathered:
        """Ask for the updates and add them up, in the order in which they are given."""
        return gather_once(ask, add)

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Send the update as it is."""
        return answer_once(phase, work, mine)


def add(sent: Sent, start: int, stop: int) -> Array:
    """The sum of what the sites sent, shape ``(stop - start,)``, in float64 or int64."""
    first, *others = sent.senders
    kind = np.float64 if sent.floating else np.int64
    total = first.chunk(sent.name, start, stop).astype(kind)
    for site in others:
        total += site.chunk(sent.name, start, stop)
    return total
