"""Which model it is, what it was trained on, and how its scores become probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medfed.core.errors import DataError
from medfed.core.guideline import Guideline, guideline_of
from medfed.inference import RESEARCH_USE

SYNTHETIC = "The model was trained on synthetic patients: what it finds says nothing clinical."


@dataclass(frozen=True)
class Calibration:
    """How often findings of a score were right on held-out patients.

    Attributes:
        scores: ascending, from 0 to 1.
        observed: the share that were nodules, of the same length, never falling.
        patients: how many held-out patients it was measured on.
        groups: marks of about the same score: ``score``, ``observed`` and ``candidates``.
    """

    scores: tuple[float, ...]
    observed: tuple[float, ...]
    patients: int
    groups: tuple[Mapping[str, float], ...] = ()

    def __post_init__(self) -> None:
        scores, observed = np.asarray(self.scores), np.asarray(self.observed)
        both = np.concatenate([scores, observed])
        if len(scores) < 2 or scores.shape != observed.shape:
            raise ValueError("a calibration has as many shares as scores, and two at least")
        if not ((both >= 0) & (both <= 1)).all():
            raise ValueError("scores and shares lie between 0 and 1")
        if (np.diff(scores) <= 0).any() or (np.diff(observed) < 0).any():
            raise ValueError("scores ascend, and shares never fall")

    def __call__(self, score: float) -> float:
        """The calibrated probability of a score, straight between the points measured."""
        return float(np.interp(score, self.scores, self.observed))


@dataclass(frozen=True)
class ModelIdentity:
    """What every output says about the model.

    Attributes:
        sha256: of the model's file.
        study: the digest of the study that trained it.
        title: the study's title.
        task: the task's name and options.
        round: the round it was taken from.
        notices: what whoever sees its findings must know, such as that its patients are made up.
        calibration: how to read its scores; None where nobody measured it.
        guideline: what its results are read with; None where nobody named one.
    """

    sha256: str
    study: str
    title: str
    task: Mapping[str, Any]
    round: int
    notices: tuple[str, ...] = ()
    calibration: Calibration | None = None
    guideline: Guideline | None = None

    @classmethod
    def read(cls, about: Mapping[str, Any], sha256: str, where: str = "the model") -> ModelIdentity:
        """From what a model's file says about itself.

        Args:
            about: the file's own words.
            sha256: the file's digest.
            where: what to call the file in complaints.

        Raises:
            DataError: it does not say how scans are to be prepared: nothing is guessed.
        """
        task = about.get("task")
        if not isinstance(task, Mapping) or "name" not in task or not about.get("study"):
            message = f"{where} does not say by which study and task it was trained"
            remedy = "Give a run's folder or its model.safetensors: nothing is prepared by guess"
            raise DataError(message, remedy=remedy)
        return cls(
            sha256=sha256,
            study=str(about["study"]),
            title=str(about.get("title", "")),
            task=dict(task),
            round=int(about.get("round", 0)),
            notices=tuple(dict.fromkeys(map(_notice, _words(about.get("notices"))))),
            calibration=_calibration(about.get("calibration"), where),
            guideline=guideline_of(about),
        )

    @property
    def said(self) -> tuple[str, ...]:
        """What stands on every output."""
        return (RESEARCH_USE, *self.notices)

    @property
    def brief(self) -> str:
        """The same in one short line: the first digits tell one model from another."""
        kind = ["synthetic training"] if SYNTHETIC in self.notices else []
        digests = [f"model {self.sha256[:12]}", f"study {self.study[:12]}"]
        return "; ".join(["Research use only", *kind, *digests])

    def to_json(self) -> dict[str, Any]:
        """As plain data, for ``findings.json``."""
        return {
            "sha256": self.sha256,
            "study": self.study,
            "title": self.title,
            "task": dict(self.task),
            "round": self.round,
            "calibrated_on_patients": self.calibration.patients if self.calibration else None,
            "guideline": self.guideline.to_json() if self.guideline else None,
        }


def _words(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else [str(v) for v in value or ()]


def _notice(text: str) -> str:
    return SYNTHETIC if "synthetic" in text else f"Of the model's training patients: {text}."


def _calibration(value: Any, where: str) -> Calibration | None:
    """The table that a run measured; None where it measured none."""
    if not isinstance(value, Mapping) or "scores" not in value:
        return None
    try:
        return Calibration(
            scores=tuple(map(float, value["scores"])),
            observed=tuple(map(float, value["observed"])),
            patients=int(value["patients"]),
            groups=tuple(
                {name: float(group[name]) for name in ("score", "observed", "candidates")}
                for group in value.get("groups", ())
            ),
        )
    except (LookupError, TypeError, ValueError):
        remedy = "Take the model from its run again"
        message = f"the calibration that {where} holds is damaged"
        raise DataError(message, remedy=remedy) from None
