"""Federated averaging with momentum at the coordinator."""

from dataclasses import dataclass

import numpy as np

from medfed.core.options import option
from medfed.core.update import MODEL, Tensors, Update, group, grouped
from medfed.strategies.fedavg import FedAvg


@dataclass(frozen=True)
class FedAvgM(FedAvg):
    """FedAvg whose mean changes are smoothed over rounds: v ← βv + Δ, x ← x + ηv.

    Hsu, Qi, Brown: "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", 2019, arXiv:1909.06335, section 2. A round that brought nothing leaves the
    momentum as it is.
    """

    server_momentum: float = option(0.9, "β, the share of the last move kept", low=0, high=0.999)

    def direction(self, total: Update, memory: Tensors) -> tuple[Tensors, Tensors]:
        """The momentum after this round."""
        old = group("momentum", memory)
        mean = total.mean(MODEL)
        new = {k: np.asarray(self.server_momentum * old.get(k, 0.0) + d) for k, d in mean.items()}
        return new, {**memory, **grouped("momentum", new)}
