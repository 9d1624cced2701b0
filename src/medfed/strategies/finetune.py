"""FedAvg, then a last polish at each site, kept only where it helps."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medfed.core.options import option
from medfed.core.strategy import Turn
from medfed.core.task import LocalJob
from medfed.core.update import MODEL, Tensors, group, grouped
from medfed.strategies.fedavg import FedAvg

TUNED = "tuned"


@dataclass(frozen=True)
class FineTune(FedAvg):
    """FedAvg whose final model each site trains further, with a guard.

    Wang, Mathews, Kiddon, Eichner, Beaufays, Ramage: "Federated Evaluation of On-device
    Personalization", 2019, arXiv:1910.10252, section 2. The guard: a site keeps its own model only
    if its mean loss on validation patients, who are not trained on, is lower than the global
    model's; without such patients it keeps the global one.
    """

    personal: ClassVar[bool] = True

    finetune_epochs: int = option(5, "Passes over the training patients at the end", low=1)
    finetune_lr: float | None = option(None, "Their learning rate; lr when silent", above=0)

    def local_model(self, sent: Tensors, mine: Tensors) -> Tensors:
        """The site's own model where it has one, else the global one."""
        return group(TUNED, mine) or group(MODEL, sent)

    def finish(self, sent: Tensors, mine: Tensors, job: LocalJob, turn: Turn) -> Tensors:
        """Fine-tune, and keep the result only where it helps."""
        start = group(MODEL, sent)
        before = _loss(job, start)
        if before is None:
            return {}
        plan = self.plan(
            turn,
            epochs=self.finetune_epochs,
            steps=None,
            lr=self.finetune_lr or self.lr,
            labels=("finetune", turn.round),
        )
        tuned = job.train(start, plan).tensors
        after = _loss(job, tuned)
        return grouped(TUNED, tuned) if after is not None and after < before else {}


def _loss(job: LocalJob, model: Tensors) -> float | None:
    """Summed over the site's validation patients, the same ones each time; None without any."""
    stats = job.evaluate(model, "valid")
    return float(np.sum(stats["loss"])) if stats else None
