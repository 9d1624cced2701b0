"""One patient's risk by a model of a table, and what each answer has to do with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medfed.core.errors import DataError
from medfed.core.questions import Answer, AskingTask, Question
from medfed.core.registry import make, part_from_json
from medfed.core.update import Tensors
from medfed.inference.model import ModelIdentity

FAR = 4.0
"""Standard deviations from the mean beyond which the model has seen hardly anybody."""


@dataclass(frozen=True)
class Contribution:
    """What one answer has to do with a risk.

    Attributes:
        name: Of the question.
        answer: What was said; None where nothing is known, and the usual value was taken.
        usual: The federation's mean or most common value.
        log_odds: By how much the log-odds are higher than with the usual value in its place.
        far: Whether the model has seen hardly anybody with such an answer.
        unit: Of the answer; empty where the study says none.
    """

    name: str
    answer: Answer
    usual: float | str
    log_odds: float
    far: bool
    unit: str = ""


@dataclass(frozen=True)
class Risk:
    """What a model says of one patient.

    Attributes:
        outcome: Of what the probability is.
        probability: The model's.
        usual: Its probability for a patient of whom everything is usual.
        contributions: Of each answer, the greatest first.
        together: What the answers do together beyond what each does alone, in log-odds; 0 for a
            logistic regression.
    """

    outcome: str
    probability: float
    usual: float
    contributions: tuple[Contribution, ...]
    together: float

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "outcome": self.outcome,
            "probability": self.probability,
            "usual": self.usual,
            "together": self.together,
            "contributions": [
                {
                    "name": each.name,
                    "answer": each.answer,
                    "usual": each.usual,
                    "log_odds": each.log_odds,
                    "far": each.far,
                    "unit": each.unit,
                }
                for each in self.contributions
            ],
        }


class RiskModel:
    """A trained model of a table, ready for single patients.

    An answer's contribution is the change of the model's log-odds when this one answer is put in
    the place of the federation's mean (or most common value), all other answers staying as they
    are. For a logistic regression these are its terms, and they add up. They describe the model:
    an answer that goes along with another shares its part, and none of them is a cause.

    Args:
        tensors: The model.
        about: What its file says about itself.
        sha256: The file's digest.

    Raises:
        DataError: The model is none of a table, or does not say how it was trained.
        PartError: Its task is not installed here.
    """

    def __init__(self, tensors: Tensors, about: Mapping[str, Any], sha256: str = "") -> None:
        self.model = ModelIdentity.read(about, sha256)
        self._facts = dict(about.get("facts", {}))
        self._task = asking_task(about)
        self.questions: tuple[Question, ...] = tuple(self._task.questions(self._facts))
        self._log_odds = self._task.log_odds(tensors, self._facts)

    def __call__(self, answers: Mapping[str, Answer]) -> Risk:
        """The risk of one patient.

        Args:
            answers: By question; what is left out counts as not known.

        Raises:
            DataError: An answer is none to its question.
        """
        given = {q.name: checked(q, answers.get(q.name)) for q in self.questions}
        usual = {q.name: q.usual for q in self.questions}
        without = [{**given, q.name: q.usual} for q in self.questions]
        scores = self._log_odds([given, usual, *without])
        parts = [
            _contribution(question, given[question.name], float(scores[0] - score))
            for question, score in zip(self.questions, scores[2:], strict=True)
        ]
        alone = sum(part.log_odds for part in parts)
        return Risk(
            outcome=self._task.outcome(),
            probability=_probability(scores[0]),
            usual=_probability(scores[1]),
            contributions=tuple(sorted(parts, key=lambda part: -abs(part.log_odds))),
            together=float(scores[0] - scores[1] - alone),
        )


def _contribution(question: Question, answer: Answer, log_odds: float) -> Contribution:
    """What is not known adds nothing, though rows of one batch may differ in the last bit."""
    known = log_odds if answer is not None else 0.0
    seldom = far(question, answer)
    return Contribution(question.name, answer, question.usual, known, seldom, question.unit)


def asking_task(about: Mapping[str, Any]) -> AskingTask:
    """The task of a model of a table.

    Raises:
        DataError: It is another task.
    """
    task = make("task", part_from_json(about["task"]))
    if not isinstance(task, AskingTask):
        message = f"a model of the task {about['task'].get('name')} answers no form"
        raise DataError(message, remedy="Give a model of tabular-classification")
    return task


def questions_of(about: Mapping[str, Any]) -> Sequence[Question]:
    """What the form of a model asks, without its tensors.

    Raises:
        DataError: It answers no form.
    """
    return asking_task(about).questions(dict(about.get("facts", {})))


def checked(question: Question, answer: Answer) -> Answer:
    """An answer, if it is one to its question; None where nothing is known.

    Raises:
        DataError: It is none.
    """
    if answer is None or answer == "":
        return None
    if question.kind == "choice":
        if str(answer) not in question.choices:
            remedy = f"Choose one of: {', '.join(question.choices)}; or leave it empty"
            raise DataError(f"{answer!s} is no value of {question.name}", remedy=remedy)
        return str(answer)
    try:
        number = float(answer)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not np.isfinite(number):
        message = f"{question.name} is a number"
        raise DataError(message, remedy="Write digits with a point; or leave it empty")
    return number


def far(question: Question, answer: Answer) -> bool:
    """Whether the model has seen hardly anybody with such an answer."""
    if not isinstance(answer, float) or not isinstance(question.usual, float):
        return False
    if question.low is not None and question.high is not None:
        return not question.low <= answer <= question.high
    return abs(answer - question.usual) > FAR * question.spread


def _probability(log_odds: float) -> float:
    return float(1.0 / (1.0 + np.exp(-log_odds)))
