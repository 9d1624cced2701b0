"""Ditto: a personal model beside the global one."""

from dataclasses import dataclass
from typing import ClassVar

from medfed.core.options import option
from medfed.core.strategy import Turn
from medfed.core.task import LocalJob, LocalPlan
from medfed.core.update import MODEL, Tensors, Update, group, grouped
from medfed.strategies.fedavg import FedAvg

PERSONAL = "personal"


@dataclass(frozen=True)
class Ditto(FedAvg):
    """FedAvg, and at each site a model v of its own that is pulled towards the global one.

    Li, Hu, Beirami, Smith: "Ditto: Fair and Robust Federated Learning Through Personalization",
    ICML 2021, arXiv:2012.04221, algorithm 1: v ← v − η(∇F(v) + λ(v − w)), w the model as sent.
    λ = 0 is training alone; a large λ keeps v at the global model. For SGD the rate is η/(1 + ηλ):
    the implicit step of the proximal term, with the same fixed points and stable for every λ.
    """

    personal: ClassVar[bool] = True

    lam: float = option(0.1, "λ, the pull towards the global model; 0 is training alone", low=0)
    personal_epochs: int = option(1, "Passes for the personal model in a round", low=1)

    def local_model(self, sent: Tensors, mine: Tensors) -> Tensors:
        """The personal model; the global one before the site has trained."""
        return group(PERSONAL, mine) or group(MODEL, sent)

    def train(
        self, sent: Tensors, mine: Tensors, job: LocalJob, turn: Turn
    ) -> tuple[Update, Tensors]:
        """FedAvg's work from the global model, then the personal model's."""
        update, _ = super().train(sent, {}, job, turn)
        plan = self.personal_plan(group(MODEL, sent), turn)
        own = job.train(self.local_model(sent, mine), plan)
        return update, grouped(PERSONAL, own.tensors)

    def personal_plan(self, anchor: Tensors, turn: Turn) -> LocalPlan:
        """How the personal model trains."""
        rate = self.rate(turn)
        return self.plan(
            turn,
            epochs=self.personal_epochs,
            steps=None,
            lr=rate if self.optimizer == "adam" else rate / (1.0 + rate * self.lam),
            proximal=self.lam,
            anchor=anchor,
            labels=("personal", turn.round),
        )
