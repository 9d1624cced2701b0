"""What each input is worth, with the caution that belongs to it."""

from typing import Any

from medfed.services.reports import words
from medfed.services.reports.importance import MOST_INPUTS, clear_of_zero, importance
from medfed.services.reports.view import RunView


def section(view: RunView) -> dict[str, Any] | None:
    """What each input is worth, with the caution that belongs to it."""
    figures = view.result.get("importance") or {}
    name = words.metric_name(view.task.metric, view.say)
    chart = importance("importance", name, figures, view.say)
    if chart is None:
        return None
    return {
        "chart": chart,
        "metric": name,
        "sentence": sentence(view),
        "more": max(0, len(figures) - MOST_INPUTS),
        "rows": [(key, *words.pair(figure, view.say)) for key, figure in figures.items()],
    }


def sentence(view: RunView) -> str:
    """Which inputs are shown to matter; empty where none was examined."""
    say, figures = view.say, view.result.get("importance") or {}
    sure = [key for key, figure in figures.items() if clear_of_zero(figure)]
    if not figures:
        return ""
    if not sure:
        return say(
            "No single input is shown to matter by itself: every interval includes zero. Inputs "
            "that say the same thing can stand in for each other."
        )
    inputs = say.many("{many} input", "{many} inputs", len(figures))
    names = words.listing(sure, say=say)
    if len(sure) == 1:
        return say("Of {inputs}, {name} has an interval clear of zero.", inputs=inputs, name=names)
    return say("Of {inputs}, {names} have intervals clear of zero.", inputs=inputs, names=names)
