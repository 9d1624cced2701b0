"""FedNova: normalised averaging, for sites that take different numbers of steps."""

from dataclasses import dataclass, replace

import numpy as np

from medfed.core.options import option
from medfed.core.strategy import Turn
from medfed.core.task import LocalJob, LocalPlan
from medfed.core.update import MODEL, Tensors, Update, group
from medfed.strategies.deltas import local_update
from medfed.strategies.fedavg import FedAvg
from medfed.strategies.local import accumulated, refuse_adam

STEPS, PATIENTS = "fednova/steps", "fednova/patients"


@dataclass(frozen=True)
class FedNova(FedAvg):
    """FedAvg that first divides each site's change by the weight its gradients had in it.

    Wang, Liu, Liang, Joshi, Poor: "Tackling the Objective Inconsistency Problem in Heterogeneous
    Federated Optimization", NeurIPS 2020, arXiv:2007.07481, equation 6: x ← x + τ_eff Σ pᵢ Δᵢ/‖aᵢ‖₁
    with pᵢ = nᵢ/n and τ_eff = Σ pᵢ‖aᵢ‖₁, so that sites with equal steps give FedAvg (or FedProx).
    ‖aᵢ‖₁ for momentum and the proximal term: see `accumulated`. Buffers are averaged as they are.
    """

    mu: float = option(0.0, "µ, the pull towards the model that was sent (as FedProx)", low=0)

    def __post_init__(self) -> None:
        refuse_adam(self.optimizer, "FedNova knows the weights of gradients for SGD only")

    def local_plan(self, start: Tensors, turn: Turn) -> LocalPlan:
        """Train with the proximal term, if any."""
        return self.plan(turn, proximal=self.mu, anchor=start) if self.mu else self.plan(turn)

    def train(
        self, sent: Tensors, mine: Tensors, job: LocalJob, turn: Turn
    ) -> tuple[Update, Tensors]:
        """Train, and normalise the change."""
        start = group(MODEL, sent)
        plan = self.local_plan(start, turn)
        trained = job.train(start, plan)
        weight = accumulated(trained.steps, plan.momentum, plan.lr * plan.proximal)
        update = local_update(start, trained, job)
        tensors = {
            name: np.asarray(d / (weight or 1.0)) if name.startswith(f"{MODEL}/") else d
            for name, d in update.tensors.items()
        }
        steps, patients = np.asarray(job.patients * weight), np.asarray(float(job.patients))
        stats = {**update.stats, STEPS: steps, PATIENTS: patients}
        return replace(update, tensors=tensors, stats=stats), mine

    def direction(self, total: Update, memory: Tensors) -> tuple[Tensors, Tensors]:
        """The mean normalised change times τ_eff."""
        mean = total.mean(MODEL)
        if not mean:
            return {}, memory
        effective = float(total.stats[STEPS] / total.stats[PATIENTS])
        return {name: np.asarray(effective * d) for name, d in mean.items()}, memory
