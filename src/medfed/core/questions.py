"""What a task offers whose models answer for one patient at a time, from a form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from medfed.core.update import Facts, Tensors

Answer = float | str | None
"""What a form says of one thing; None where nothing is known."""


@dataclass(frozen=True)
class Question:
    """One thing that a model wants to know of a patient.

    Attributes:
        name: The column's name.
        kind: A number, or one of some words.
        usual: What is taken where nothing is known: the mean of the federation's training
            patients, or their most common value.
        spread: Of numbers: their standard deviation there.
        low: Of numbers: the lowest usual value, where the study declares one.
        high: The highest.
        choices: Of words: those that the federation knows.
        unit: Of numbers: the unit, where the study says it.
    """

    name: str
    kind: Literal["number", "choice"]
    usual: float | str
    spread: float = 0.0
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""


@runtime_checkable
class AskingTask(Protocol):
    """A task whose models give a probability for one patient, from answers to questions."""

    def outcome(self) -> str:
        """Of what the probability is, in words."""

    def questions(self, facts: Facts) -> Sequence[Question]:
        """What is asked, in the order of the model's columns.

        Raises:
            DataError: Inputs depend on the patients of each hospital: a form cannot know them.
        """

    def log_odds(
        self, model: Tensors, facts: Facts
    ) -> Callable[[Sequence[Mapping[str, Any]]], NDArray[np.float64]]:
        """The trained model: for each row of answers its log-odds.

        Raises:
            DataError: The tensors do not fit the task.
        """
