"""SCAFFOLD: control variates against the drift of local training."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from medfed.core.strategy import Turn
from medfed.core.task import LocalJob
from medfed.core.update import MODEL, Array, State, Tensors, Update, group, grouped
from medfed.strategies.deltas import local_update, wide
from medfed.strategies.fedavg import FedAvg
from medfed.strategies.local import accumulated, refuse_adam

CONTROL = "control"
PATIENTS = "scaffold/patients"


@dataclass(frozen=True)
class Scaffold(FedAvg):
    """FedAvg whose local gradients are corrected by c − cᵢ, learnt from the rounds before.

    Karimireddy, Kale, Mohri, Reddi, Stich, Suresh: "SCAFFOLD: Stochastic Controlled Averaging for
    Federated Learning", ICML 2020, arXiv:1910.06378, algorithm 1, option II:
    cᵢ⁺ = cᵢ − c + (x − y)/(Kη), c ← c + (|S|/N)·mean Δcᵢ.

    Two departures. The paper minimises the plain mean over sites; here, as in FedAvg, patients
    count alike, which needs c = Σ nᵢcᵢ/n: every correct site walks along c, so the weights of Δcᵢ
    and not those of Δx decide where it ends. So Δcᵢ is weighted by nᵢ and divided by one constant:
    the sites of the study times the patients a site of the first round had. With sites of one size
    this is the paper's |S|/N; a first round with some sites only makes c longer or shorter, never
    wrong in direction. And with momentum Kη is replaced by the weight that the gradients really
    had (`accumulated`).
    """

    needs_sum: ClassVar[bool] = True

    def __post_init__(self) -> None:
        refuse_adam(self.optimizer, "SCAFFOLD reads gradients from the steps of SGD")

    def sent(self, state: State) -> Tensors:
        """The model and c (absent before the first step: zero)."""
        return {**grouped(MODEL, state.model), **grouped(CONTROL, group(CONTROL, state.memory))}

    def train(
        self, sent: Tensors, mine: Tensors, job: LocalJob, turn: Turn
    ) -> tuple[Update, Tensors]:
        """Train with corrected gradients; the site remembers cᵢ."""
        start, c, ci = group(MODEL, sent), group(CONTROL, sent), group(CONTROL, mine)
        zero = {name: np.zeros_like(wide(start[name])) for name in sorted(job.trainable())}
        correction = {k: np.asarray(c.get(k, z) - ci.get(k, z)) for k, z in zero.items()}
        trained = job.train(start, self.plan(turn, correction=correction))
        distance = self.rate(turn) * accumulated(trained.steps, self.momentum)
        change = zero  # no step, nothing learnt
        if distance:
            end = trained.tensors
            gone = {k: (wide(start[k]) - wide(end[k])) / distance for k in zero}
            change = {k: np.asarray(gone[k] - c.get(k, z)) for k, z in zero.items()}
        new = {k: np.asarray(ci.get(k, z) + change[k]) for k, z in zero.items()}
        update = local_update(start, trained, job)
        return _with_control(update, change, float(job.patients)), grouped(CONTROL, new)

    def step(self, state: State, total: Update, turn: Turn) -> State:
        """Move the model, then c."""
        state = super().step(state, total, turn)
        change = total.mean(CONTROL)
        if not change:
            return state
        weight = total.weights[CONTROL]
        first = turn.sites * weight / np.asarray(total.stats["train/sites"], np.float64)
        patients = np.asarray(state.memory.get(PATIENTS, first))
        c = group(CONTROL, state.memory)
        share = float(weight / patients)
        new = {name: np.asarray(c.get(name, 0.0) + share * d) for name, d in change.items()}
        return state.evolve(memory={**state.memory, **grouped(CONTROL, new), PATIENTS: patients})


def _with_control(update: Update, change: dict[str, Array], weight: float) -> Update:
    tensors = grouped(CONTROL, {name: np.asarray(weight * d) for name, d in change.items()})
    return replace(
        update,
        tensors={**update.tensors, **tensors},
        weights={**update.weights, CONTROL: weight},
        stats={**update.stats, "train/sites": np.asarray(1.0)},
    )
