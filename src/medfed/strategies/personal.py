"""Strategies in which some tensors of the model never leave the site."""

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

from medfed.core.errors import PartError, Problem
from medfed.core.options import option
from medfed.core.strategy import Turn
from medfed.core.task import LocalJob, Trained
from medfed.core.update import MODEL, State, Tensors, Update, group, grouped
from medfed.strategies.deltas import local_update
from medfed.strategies.fedavg import FedAvg

LOCAL = "local"
INITIAL = "initial"


@dataclass(frozen=True)
class LocalPart(FedAvg):
    """FedAvg for the tensors that are shared; those matching ``local`` live in the site's memory.

    No update ever holds a local tensor, so the coordinator's copy of it stays as it was
    initialised. It is sent every round, in the group ``initial``: a site that joins at any round
    starts there, and the few bytes spare all bookkeeping of who has which.
    """

    personal: ClassVar[bool] = True

    local: tuple[str, ...] = option((), "Patterns of tensor names that stay at each site")

    def begin(self, model: Tensors) -> State:
        """Start, once it is certain that something stays and something is shared."""
        if found := self.misfits(model):
            raise PartError("the strategy does not fit the model", found)
        return super().begin(model)

    def sent(self, state: State) -> Tensors:
        """The shared tensors, and the initial values of the local ones."""
        return {
            f"{INITIAL if self.stays(name) else MODEL}/{name}": value
            for name, value in state.model.items()
        }

    def local_model(self, sent: Tensors, mine: Tensors) -> Tensors:
        """The shared tensors as sent, the site's own as it remembers them."""
        return {**group(MODEL, sent), **group(INITIAL, sent), **group(LOCAL, mine)}

    def train(
        self, sent: Tensors, mine: Tensors, job: LocalJob, turn: Turn
    ) -> tuple[Update, Tensors]:
        """Train the assembled model; send the shared part, remember the rest."""
        start = self.local_model(sent, mine)
        trained = self.work(start, job, turn)
        shared = [name for name in start if not self.stays(name)]
        kept = {name: trained.tensors[name] for name in start if self.stays(name)}
        return local_update(start, trained, job, shared), grouped(LOCAL, kept)

    def work(self, start: Tensors, job: LocalJob, turn: Turn) -> Trained:
        """The local training: all tensors together."""
        return job.train(start, self.local_plan(start, turn))

    def stays(self, name: str) -> bool:
        """Whether a tensor is local; capitals do not matter."""
        return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in self.local)

    def misfits(self, names: Iterable[str]) -> list[Problem]:
        """Why it cannot learn a model of these tensors; see `medfed.core.task.NamedTask`."""
        names = sorted(names)
        staying = sum(map(self.stays, names))
        if 0 < staying < len(names):
            return []
        which = "every tensor" if staying else "no tensor"
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        message = f"{which} of the model matches {', '.join(self.local) or 'an empty list'}"
        return [Problem("strategy.local", message, self._remedy(shown))]

    def _remedy(self, names: str) -> str:
        return f"Give patterns for some of its tensors: {names}"


@dataclass(frozen=True)
class LocalNorm(LocalPart):
    """FedBN: normalisation layers stay at the site, scanner by scanner; the rest is averaged.

    Li, Jiang, Zhang, Kamp, Dou: "FedBN: Federated Learning on Non-IID Features via Local Batch
    Normalization", ICLR 2021, arXiv:2102.07623, algorithm 1. Layers are known by their names only;
    where the model calls them otherwise, ``local`` must say so.
    """

    local: tuple[str, ...] = option(
        ("*norm*", "bn*", "*.bn*", "*_bn*", "*.adn.n.*"),
        "Patterns of the normalisation tensors, which stay at each site",
    )

    def _remedy(self, names: str) -> str:
        return f"Choose a model with normalisation layers, or give patterns for some of: {names}"


@dataclass(frozen=True)
class LocalHead(LocalPart):
    """FedPer and FedRep: the model's head stays at the site; the representation is averaged.

    Arivazhagan, Aggarwal, Singh, Choudhary: "Federated Learning with Personalization Layers",
    2019, arXiv:1912.00818, algorithms 1 and 2 (both parts trained together, the default). With
    ``head_epochs``, Collins, Hassani, Mokhtari, Shakkottai: "Exploiting Shared Representations for
    Personalized Federated Learning", ICML 2021, arXiv:2102.07078, algorithm 1: first the head
    alone, then the representation alone.
    """

    local: tuple[str, ...] = option(("*head*",), "Patterns of the head, which stays at each site")
    head_epochs: int = option(0, "Passes for the head alone, first (FedRep); 0 is FedPer", low=0)

    def work(self, start: Tensors, job: LocalJob, turn: Turn) -> Trained:
        """Together, or the head first."""
        if not self.head_epochs:
            return super().work(start, job, turn)
        head = tuple(glob.escape(name) for name in start if self.stays(name))
        body = tuple(glob.escape(name) for name in start if not self.stays(name))
        labels = ("head", turn.round)
        alone = self.plan(turn, epochs=self.head_epochs, steps=None, trainable=head, labels=labels)
        first = job.train(start, alone)
        then = job.train(first.tensors, self.plan(turn, trainable=body))
        return Trained(
            then.tensors,
            first.steps + then.steps,
            first.loss_sum + then.loss_sum,
            first.examples + then.examples,
        )
