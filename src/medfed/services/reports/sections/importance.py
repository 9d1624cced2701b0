"""What each input is worth, with the caution that belongs to it."""

from typing import Any

from medfed.services.reports import words
from medfed.services.reports.importance import MOST_INPUTS, clear_of_zero, importance
from medfed.services.reports.view import RunView


def section(view: RunView) -> dict[str, Any] | None:
    """What each input is worth, with the caution that belongs to it."""
    figures = view.result.get("importance") or {}
    name = words.metric_name(view.task.metric)
    chart = importance("importance", name, figures)
    if chart is None:
        return None
    return {
        "chart": chart,
        "metric": name,
        "sentence": sentence(view),
        "more": max(0, len(figures) - MOST_INPUTS),
        "rows": [(key, *words.pair(figure)) for key, figure in figures.items()],
    }


def sentence(view: RunView) -> str:
    """Which inputs are shown to matter; empty where none was examined."""
    figures = view.result.get("importance") or {}
    sure = [key for key, figure in figures.items() if clear_of_zero(figure)]
    if not figures:
        return ""
    if not sure:
        return (
            "No single input is shown to matter by itself: every interval includes zero. Inputs "
            "that say the same thing can stand in for each other."
        )
    verb = "has an interval" if len(sure) == 1 else "have intervals"
    return (
        f"Of {words.count(len(figures), 'input')}, {words.listing(sure, 6)} {verb} clear of zero."
    )
