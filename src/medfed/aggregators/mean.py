"""The weighted mean: the sum that nearly every federated algorithm counts on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medfed.aggregators.chunks import Rule, Sent, answer_once, gather_once
from medfed.aggregators.norm_gate import NormGate
from medfed.core.aggregator import Ask, Gathered
from medfed.core.update import Array, Tensors, Update


@dataclass(frozen=True, slots=True)
class Mean(NormGate):
    """Sites' updates added up; divided by the total weight they are the weighted mean.

    Sums run in float64 and in site order, and are rounded once, at the end. McMahan et al. 2017,
    "Communication-efficient learning of deep networks from decentralized data" (arXiv 1602.05629).
    """

    sees_sites: ClassVar[bool] = True
    linear: ClassVar[bool] = True
    once: ClassVar[bool] = True

    def gather(self, ask: Ask, memory: Tensors) -> Gathered:
        """Ask for the updates and add them up, in the order in which they are given."""
        return gather_once(ask, adder())

    def answer(
        self, phase: str, received: Update, work: Callable[[], Update], mine: Tensors
    ) -> tuple[Update, Tensors]:
        """Send the update as it is."""
        return answer_once(phase, work, mine)


def adder() -> Rule:
    """The rule that adds what the sites sent, in float64 or (whole numbers) int64.

    It works in two buffers that live as long as the rule, because fresh memory for every chunk
    costs a fifth of the time; what it returns is good until it is called again.
    """
    buffers = np.empty((2, 0), np.float64)

    def add(sent: Sent, start: int, stop: int) -> Array:
        nonlocal buffers
        size = stop - start
        if size > buffers.shape[1]:
            buffers = np.empty((2, size), np.float64)
        total, addend = buffers.view(np.float64 if sent.floating else np.int64)[:, :size]
        first, *others = sent.senders
        np.copyto(total, first.chunk(sent.name, start, stop))
        for site in others:
            # Widened in one pass and added in another: quicker than adding mixed types.
            np.copyto(addend, site.chunk(sent.name, start, stop))
            total += addend
        return total

    return add
