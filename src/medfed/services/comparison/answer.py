"""From figures on every draw to rows, intervals, differences and plain words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medfed.core.task import Task
from medfed.core.update import Array
from medfed.services.comparison import statistics
from medfed.services.comparison.statistics import (
    ALL,
    MEAN,
    Table,
    interval,
    is_shown,
    many_figures,
    undefined_share,
)
from medfed.services.reports import words

_OFTEN = 0.05
"""From this share of draws without a figure on, its interval comes with a caution."""

_AGAINST = {
    "local": "each hospital alone",
    "leave-one-out": "without the hospital's own data",
    "pooled": "all patients in one place",
}


def rows(
    task: Task,
    recipe: str,
    seeds: Sequence[int],
    by_seed: Sequence[Mapping[str, Mapping[str, Array]]],
) -> list[dict[str, Any]]:
    """Every figure by itself: a recipe's, for each seed, site and metric."""
    found = []
    for seed, sites in zip(seeds, by_seed, strict=True):
        for site, records in sites.items():
            totals = {name: np.asarray(v).sum(axis=0)[None] for name, v in records.items()}
            for metric, values in many_figures(task, totals).items():
                if np.isfinite(values[0]):
                    value = float(values[0])
                    row = {"recipe": recipe, "seed": seed, "site": site, "metric": metric}
                    found.append({**row, "value": value})
    return found


def summary(tables: Mapping[str, Table]) -> list[dict[str, Any]]:
    """Each recipe's figures, averaged over seeds, with intervals."""
    return [
        {"recipe": recipe, "metric": metric, "site": place, **interval(draws).to_json()}
        for recipe, table in tables.items()
        for metric, places in table.items()
        for place, draws in places.items()
    ]


def differences(
    tables: Mapping[str, Table], seeds: int, higher_is_better: Mapping[str, bool]
) -> list[dict[str, Any]]:
    """The first recipe against every other, paired; ``shown`` where the interval is clear of 0."""
    recipe, *others = tables
    found = []
    for against in others:
        for metric, ours in tables[recipe].items():
            for place, draws in statistics.differences(
                ours, tables[against].get(metric, {})
            ).items():
                difference = interval(draws)
                shown = is_shown(difference, seeds)
                better = (difference.value > 0) == higher_is_better[metric]
                found.append(
                    {
                        "recipe": recipe,
                        "against": against,
                        "metric": metric,
                        "site": place,
                        **difference.to_json(),
                        "shown": shown,
                        "better": (recipe if better else against) if shown else None,
                    }
                )
    return found


def cautions(tables: Mapping[str, Table], metric: str) -> list[str]:
    """Sites where a figure is undefined in many draws."""
    found, name = {}, words.metric_name(metric)
    for table in tables.values():
        for place, draws in table.get(metric, {}).items():
            share = undefined_share(draws)
            if share > _OFTEN and place not in (MEAN, ALL):
                found[place] = (
                    f"{name} at {place} is undefined in {share:.0%} of the draws, for want of "
                    "patients of one class: do not rely on it"
                )
    return list(found.values())


def statement(found: Mapping[str, Any], sites: Sequence[str]) -> str:
    """Is it worth it for us? In words, by the metric asked for."""
    metric, seeds = found["metric"], found["seeds"]
    figures = {(s["recipe"], s["site"]): s for s in found["summary"] if s["metric"] == metric}
    many = [d for d in found["differences"] if d["metric"] == metric]
    lines = list(_opening(metric, figures, found, len(sites)))
    for against in dict.fromkeys(d["against"] for d in many):
        own = {d["site"]: d for d in many if d["against"] == against}
        lines.append(_headline(own.get(MEAN), figures, len(seeds)))
        lines += [_for_site(own[site], figures, len(seeds)) for site in sites if site in own]
    if any(figures.get((recipe, MEAN)) for recipe in ("pooled",)):
        lines.append(
            "pooled is a yardstick only: it needs all patients in one place, as on this machine."
        )
    lines += [f"Note: {note}." for note in found["notes"]]
    return "\n".join(line for line in lines if line)


def _opening(
    metric: str, figures: Mapping[tuple[str, str], Any], found: Mapping[str, Any], sites: int
) -> Iterator[str]:
    first, name = next(iter(found["recipes"])), words.metric_name(metric)
    figure = figures.get((first, MEAN))
    seeds = len(found["seeds"])
    if figure is None:
        yield f"{words.first_capital(name)} is undefined here: the test patients are too few."
        return
    times = "one seed" if seeds == 1 else f"{seeds} seeds"
    yield f"{first}: mean {name} of {sites} hospitals {_figure(figure)}, over {times}."
    if seeds == 1:
        yield (
            "One seed only: the differences below may be the chance of one training run, and none "
            "is claimed. Compare with several (--seeds 5)."
        )


def _headline(difference: Any, figures: Mapping[tuple[str, str], Any], seeds: int) -> str:
    if difference is None:
        return ""
    against = difference["against"]
    what = f" ({_AGAINST[against]})" if against in _AGAINST else ""
    theirs = figures.get((against, MEAN))
    beside = f" {_figure(theirs)}" if theirs else ""
    return f"Against {against}{what}{beside}: {_difference(difference, seeds)}."


def _for_site(difference: Any, figures: Mapping[tuple[str, str], Any], seeds: int) -> str:
    site, recipe, against = difference["site"], difference["recipe"], difference["against"]
    ours, theirs = figures.get((recipe, site)), figures.get((against, site))
    if ours is None or theirs is None:
        return ""
    pair = f"{recipe} {_number(ours['value'])} against {against} {_number(theirs['value'])}"
    return f"  for {site}: {pair}, {_difference(difference, seeds)}."


def _difference(difference: Mapping[str, Any], seeds: int) -> str:
    value = difference["value"]
    text = f"difference {_signed(value)}"
    if difference["low"] is not None:
        text += f" [{_signed(difference['low'])}, {_signed(difference['high'])}]"
    if difference["better"]:
        return f"{text}: {difference['better']} is better"
    return (
        f"{text}: nothing is claimed from one seed" if seeds < 2 else f"{text}: no difference shown"
    )


def _figure(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return _number(figure["value"])
    return f"{_number(figure['value'])} [{_number(figure['low'])}, {_number(figure['high'])}]"


def _number(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return "0.000" if abs(value) < 0.0005 else f"{value:+.3f}".replace("-", "−")
