"""Adaptive optimisers at the coordinator: FedAdagrad, FedAdam and FedYogi."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from medfed.core.options import option
from medfed.core.update import MODEL, Array, Tensors, Update, group, grouped
from medfed.strategies.fedavg import FedAvg


@dataclass(frozen=True)
class FedOpt(FedAvg, ABC):
    """The mean change taken as a gradient by an adaptive optimiser.

    Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar, McMahan: "Adaptive Federated
    Optimization", ICLR 2021, arXiv:2003.00295, algorithm 2: m ← β₁m + (1 − β₁)Δ, then v by one of
    three rules, then x ← x + ηm/(√v + τ), from m = 0 and v = τ², without bias correction. Buffers
    are averaged: an adaptive step has no meaning for a running variance.
    """

    server_lr: float = option(0.01, "η: about how far one weight moves in a round", above=0)
    beta1: float = option(0.9, "β₁, the share of the last direction kept", low=0, high=0.9999)
    tau: float = option(1e-3, "τ, how adaptive: smaller is more so", above=0)

    def direction(self, total: Update, memory: Tensors) -> tuple[Tensors, Tensors]:
        """The adaptive step after this round."""
        old_m, old_v = group("first", memory), group("second", memory)
        m: dict[str, Array] = {}
        v: dict[str, Array] = {}
        for name, delta in total.mean(MODEL).items():
            start = np.full_like(delta, self.tau**2)
            m[name] = np.asarray(self.beta1 * old_m.get(name, 0.0) + (1.0 - self.beta1) * delta)
            v[name] = np.asarray(self.second(old_v.get(name, start), np.square(delta)))
        step = {name: np.asarray(m[name] / (np.sqrt(v[name]) + self.tau)) for name in m}
        return step, {**memory, **grouped("first", m), **grouped("second", v)}

    @abstractmethod
    def second(self, v: Array, squared: Array) -> Array:
        """The next v, from the last one and Δ²."""


@dataclass(frozen=True)
class FedAdagrad(FedOpt):
    """FedOpt with v ← v + Δ²; see `FedOpt`. The paper runs it with β₁ = 0, the default here."""

    beta1: float = option(0.0, "β₁, the share of the last direction kept", low=0, high=0.9999)

    def second(self, v: Array, squared: Array) -> Array:
        """Sum of all squares."""
        return v + squared


@dataclass(frozen=True)
class FedAdam(FedOpt):
    """FedOpt with v ← β₂v + (1 − β₂)Δ²; see `FedOpt`."""

    beta2: float = option(0.99, "β₂, the share of the last squares kept", low=0, high=0.9999)

    def second(self, v: Array, squared: Array) -> Array:
        """Moving mean of the squares."""
        return self.beta2 * v + (1.0 - self.beta2) * squared


@dataclass(frozen=True)
class FedYogi(FedOpt):
    """FedOpt with v ← v − (1 − β₂)Δ² sign(v − Δ²); see `FedOpt`."""

    beta2: float = option(0.99, "β₂: v changes by 1 − β₂ of the squares", low=0, high=0.9999)

    def second(self, v: Array, squared: Array) -> Array:
        """Moves towards the squares by a share of them, up or down."""
        return v - (1.0 - self.beta2) * squared * np.sign(v - squared)
