"""A trained model of a table used for one patient, from a form."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medfed.core.errors import DataError
from medfed.core.questions import Question
from medfed.core.update import Tensors
from medfed.tasks.encoding import Encoder

if TYPE_CHECKING:
    from torch import nn

HERE = "this hospital"


def questions(
    encoder: Encoder, ranges: Mapping[str, Any], units: Mapping[str, str]
) -> list[Question]:
    """What a form asks.

    Args:
        encoder: How tables become inputs.
        ranges: Usual lowest and highest value of numeric columns, where the study declares them.
        units: Of numeric columns, where the study says them.

    Raises:
        DataError: Numbers are scaled by each hospital's own patients.
    """
    if encoder.scaling == "local":
        raise DataError(
            "this model scales numbers by each hospital's own patients, whom a form cannot know",
            remedy='Give a model of a study with scaling = "federated"',
        )
    return [
        *(_number(c, encoder.moments[c], ranges.get(c), units.get(c, "")) for c in encoder.numeric),
        *(_choice(c, encoder.vocabulary[c]) for c in encoder.categorical),
    ]


def _number(column: str, moments: Mapping[str, Any], usual: Any, unit: str) -> Question:
    low, high = (float(v) for v in usual) if usual else (None, None)
    mean, spread = float(moments["fill"]), float(moments["std"])
    return Question(column, "number", usual=mean, spread=spread, low=low, high=high, unit=unit)


def _choice(column: str, words: Mapping[str, Any]) -> Question:
    return Question(
        column, "choice", usual=str(words["fill"]), choices=tuple(map(str, words["categories"]))
    )


def log_odds(
    module: "nn.Module", model: Tensors, encoder: Encoder
) -> Callable[[Sequence[Mapping[str, Any]]], NDArray[np.float64]]:
    """The trained model at work on answers.

    Args:
        module: As it was built for training.
        model: The trained tensors.
        encoder: How answers become inputs.

    Raises:
        DataError: The tensors do not fit the module.
    """
    import torch

    try:
        state = {name: torch.from_numpy(np.array(value)) for name, value in model.items()}
        module.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise DataError("the model's tensors do not fit its task") from error
    module.eval()

    def of(answers: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        import pandas as pd

        frame = pd.DataFrame(list(answers), columns=list(encoder.columns), dtype=object)
        with torch.inference_mode():
            scores = module(torch.from_numpy(encoder.encode(frame, HERE)))[:, 0]
        return np.asarray(scores.numpy(), np.float64)

    return of
