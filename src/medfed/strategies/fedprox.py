"""FedAvg with a proximal term."""

from dataclasses import dataclass

from medfed.core.options import option
from medfed.core.strategy import Turn
from medfed.core.task import LocalPlan
from medfed.core.update import Tensors
from medfed.strategies.fedavg import FedAvg


@dataclass(frozen=True)
class FedProx(FedAvg):
    """FedAvg whose local loss holds the model near the one sent: + ½µ‖w − wᵗ‖².

    Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith: "Federated Optimization in Heterogeneous
    Networks", MLSys 2020, arXiv:1812.06127, algorithm 2. With µ = 0 it is FedAvg, bit by bit.
    """

    mu: float = option(0.01, "µ, the pull towards the model that was sent; 0 is FedAvg", low=0)

    def local_plan(self, start: Tensors, turn: Turn) -> LocalPlan:
        """Train with the proximal term."""
        return self.plan(turn, proximal=self.mu, anchor=start)
