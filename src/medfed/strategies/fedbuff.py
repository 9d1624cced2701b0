"""FedBuff: buffered asynchronous averaging, for sites of very different speed."""

from dataclasses import dataclass
from typing import ClassVar

from medfed.core.options import option
from medfed.strategies.fedavg import FedAvg


@dataclass(frozen=True)
class FedBuff(FedAvg):
    """The model moves whenever ``buffer`` replies are in; sites never wait for each other.

    Nguyen, Malik, Zhan, Yousefpour, Rabbat, Malek, Huba: "Federated Learning with Buffered
    Asynchronous Aggregation", AISTATS 2022, arXiv:2106.06639, algorithm 1, with the staleness
    function of its section 5, s(τ) = (1 + τ)^−a.

    A site cannot know how stale its reply will be; the asynchronous loop does. It multiplies each
    reply's tensors, and *not* its weights, by `staleness_weight` and hands the sum of ``buffer``
    replies to ``step``. The mean is then Σ s(τᵢ)nᵢΔᵢ/Σ nᵢ, the paper's Σ s(τᵢ)Δᵢ/K with patients
    counting alike: a buffer of stale replies makes a shorter step. (Were the weights scaled too,
    equal staleness would cancel out.)
    """

    asynchronous: ClassVar[bool] = True

    buffer: int = option(2, "K, how many replies make one step", low=1)
    staleness: float = option(0.5, "a in the weight (1 + τ)^−a of a reply τ steps late", low=0)

    def staleness_weight(self, tau: int) -> float:
        """The weight of a reply.

        Args:
            tau: Steps that the model has made since it was sent to the site.
        """
        return float((1.0 + max(tau, 0)) ** -self.staleness)
