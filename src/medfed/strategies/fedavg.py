"""Federated averaging."""

from dataclasses import dataclass

from medfed.core.options import option
from medfed.core.strategy import Turn
from medfed.core.task import LocalJob, LocalPlan
from medfed.core.update import Tensors, Update
from medfed.strategies.base import GlobalModel
from medfed.strategies.deltas import local_update
from medfed.strategies.local import LocalTraining


@dataclass(frozen=True)
class FedAvg(GlobalModel, LocalTraining):
    """Sites train by themselves; the model moves by the mean change, weighted by patients.

    McMahan, Moore, Ramage, Hampson, Agüera y Arcas: "Communication-Efficient Learning of Deep
    Networks from Decentralized Data", AISTATS 2017, arXiv:1602.05629, algorithm 1. ``server_lr``
    is that of Reddi et al. (arXiv:2003.00295, algorithm 1); 1 gives the paper's average.
    """

    server_lr: float = option(1.0, "How far to move along the mean change; 1 is averaging", above=0)

    def stride(self, turn: Turn) -> float:
        """The server's learning rate."""
        return self.server_lr

    def train(
        self, sent: Tensors, mine: Tensors, job: LocalJob, turn: Turn
    ) -> tuple[Update, Tensors]:
        """Train from what was sent."""
        start = self.local_model(sent, mine)
        trained = job.train(start, self.local_plan(start, turn))
        return local_update(start, trained, job), mine

    def local_plan(self, start: Tensors, turn: Turn) -> LocalPlan:
        """How to train from ``start``."""
        return self.plan(turn)
