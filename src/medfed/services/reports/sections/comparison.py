"""Recipes beside each other, where they were compared."""

from collections.abc import Iterable, Mapping
from typing import Any

from medfed.services.reports import charts, words
from medfed.services.reports.speech import Speech
from medfed.services.reports.view import RunView


def section(view: RunView) -> dict[str, Any] | None:
    """Recipes beside each other: statement, table and chart."""
    say, given = view.say, view.comparison
    if given is None:
        return None
    summary = [item for item in given["summary"] if "recipe" in item and "metric" in item]
    known = list(dict.fromkeys(str(item["metric"]) for item in summary))
    metrics = [m for m in view.metrics if m in known] + [m for m in known if m not in view.metrics]
    recipes = list(dict.fromkeys(str(item["recipe"]) for item in summary))
    cells = {(str(item["recipe"]), str(item["metric"])): item for item in summary}
    return {
        "statement": say.again(str(given.get("statement", ""))),
        "metrics": [words.metric_title(m, say) for m in metrics],
        "rows": [
            (words.recipe_name(r, say), [words.pair(cells.get((r, m)), say) for m in metrics])
            for r in recipes
        ],
        "chart": _chart(metrics[0], cells, given.get("rows", ()), say) if metrics else None,
    }


def _chart(
    metric: str,
    cells: Mapping[tuple[str, str], Mapping[str, Any]],
    rows: Iterable[Mapping[str, Any]],
    say: Speech,
) -> Any:
    dots: dict[str, list[float]] = {}
    for row in rows:
        if row.get("metric") == metric and words.finite(row.get("value")):
            dots.setdefault(str(row.get("recipe")), []).append(float(row["value"]))
    summary = {recipe: item for (recipe, name), item in cells.items() if name == metric}
    return charts.recipes("recipes", words.metric_title(metric, say), summary, dots, say)
