"""Options of local training that strategies share, and the plan that they make."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from medfed.core.errors import PartError, Problem
from medfed.core.options import option
from medfed.core.strategy import Turn
from medfed.core.task import LocalPlan


@dataclass(frozen=True)
class Schedule:
    """A learning rate, and how it changes from round to round."""

    lr: float = option(0.1, "Learning rate of the first round", above=0)
    lr_schedule: str = option(
        "constant", "How the learning rate changes", choices=("constant", "cosine", "step")
    )
    lr_every: int = option(10, "Rounds between two drops of the step schedule", low=1)
    lr_gamma: float = option(0.1, "Factor of each drop of the step schedule", above=0, high=1)

    def rate(self, turn: Turn) -> float:
        """The learning rate of a round; never zero, the last round learns too."""
        done = min(max(turn.round - 1, 0), max(turn.rounds - 1, 0))
        if self.lr_schedule == "cosine":
            return self.lr * 0.5 * (1.0 + math.cos(math.pi * done / max(turn.rounds, 1)))
        if self.lr_schedule == "step":
            return self.lr * self.lr_gamma ** (done // self.lr_every)
        return self.lr


@dataclass(frozen=True)
class LocalTraining(Schedule):
    """How a site trains within a round."""

    local_epochs: int = option(1, "Passes over the training patients in a round", low=1)
    local_steps: int | None = option(None, "Optimiser steps in a round, instead of passes", low=1)
    batch_size: int = option(32, "Patients (or patches) a batch", low=1)
    optimizer: str = option("sgd", "Local optimiser", choices=("sgd", "adam"))
    momentum: float = option(0.0, "Momentum of the local SGD", low=0, high=0.999)
    l2: float = option(0.0, "Weight decay added to the gradient", low=0)

    def plan(self, turn: Turn, **extra: Any) -> LocalPlan:
        """The plan of a round.

        Args:
            turn: The round.
            extra: Fields of `LocalPlan` to set otherwise.
        """
        plan = LocalPlan(
            epochs=self.local_epochs,
            steps=self.local_steps,
            batch_size=self.batch_size,
            optimizer=cast(Literal["sgd", "adam"], self.optimizer),
            lr=self.rate(turn),
            momentum=self.momentum,
            l2=self.l2,
            labels=("train", turn.round),
        )
        return replace(plan, **extra)


def refuse_adam(optimizer: str, why: str) -> None:
    """Complain where an algorithm is defined for SGD only.

    Raises:
        PartError: The optimiser is Adam.
    """
    if optimizer == "adam":
        problem = Problem("strategy.optimizer", why, 'Write optimizer = "sgd"')
        raise PartError("the strategy cannot be used with Adam", [problem])


def accumulated(steps: int, momentum: float = 0.0, pull: float = 0.0) -> float:
    """By how much a constant gradient counts in the distance that local SGD goes.

    This is ‖aᵢ‖₁ of FedNova (Wang et al. 2020, sections 3 and 4): τ for plain SGD,
    (τ − ρ(1 − ρ^τ)/(1 − ρ))/(1 − ρ) with momentum ρ, and (1 − (1 − α)^τ)/α with a proximal term
    α = ηµ. The recursion below is that of the optimiser itself, and so covers both together.

    Args:
        steps: Optimiser steps τ.
        momentum: ρ.
        pull: α, the learning rate times the proximal weight.
    """
    velocity = distance = 0.0
    for _ in range(steps):
        velocity = momentum * velocity + 1.0 - pull * distance
        distance += velocity
    return distance
