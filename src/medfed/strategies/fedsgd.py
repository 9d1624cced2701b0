"""Gradient descent on the pooled loss, one gradient a site and round."""

from dataclasses import dataclass

import numpy as np

from medfed.core.options import option
from medfed.core.strategy import Turn
from medfed.core.task import LocalJob
from medfed.core.update import MODEL, Tensors, Update, group
from medfed.strategies.base import GlobalModel
from medfed.strategies.deltas import train_stats, wide
from medfed.strategies.local import Schedule


@dataclass(frozen=True)
class FedSGD(GlobalModel, Schedule):
    """Each site gives its full gradient; their mean, weighted by patients, makes one step.

    McMahan, Moore, Ramage, Hampson, Agüera y Arcas: "Communication-Efficient Learning of Deep
    Networks from Decentralized Data", AISTATS 2017, arXiv:1602.05629, section 2 (FederatedSGD
    with C = 1). The same as gradient descent on the pooled patients. The update holds −∇, the
    change at learning rate 1, and the coordinator applies the rate. Buffers stay as they began
    (zeros are sent), for no training pass moves them: choose models without running statistics.
    """

    l2: float = option(0.0, "Weight decay added to the gradient", low=0)

    def stride(self, turn: Turn) -> float:
        """The learning rate of the round."""
        return self.rate(turn)

    def train(
        self, sent: Tensors, mine: Tensors, job: LocalJob, turn: Turn
    ) -> tuple[Update, Tensors]:
        """The gradient at what was sent, over all training patients."""
        model = group(MODEL, sent)
        gradient, loss = job.gradient(model, self.l2)
        weight = float(job.patients)
        tensors = {
            f"{MODEL}/{name}": np.asarray(-weight * wide(gradient[name]))
            if name in gradient
            else np.zeros_like(wide(value))
            for name, value in model.items()
        }
        return Update(tensors, {MODEL: weight}, train_stats(loss * weight, weight, 1)), mine
